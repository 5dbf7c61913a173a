# The library as others link it: one shared and one static file, made of the layers' objects, with the public header alone.
set(LLM_PUBLIC_INCLUDE ${PROJECT_BINARY_DIR}/include)
configure_file(runtime/llm.h ${LLM_PUBLIC_INCLUDE}/llm.h COPYONLY)

# Joins the objects of some targets into one whose only global symbols are the public ones, so that nothing in a static
# library can clash with its host. Where the tools are not GNU's, the objects stay as they are.
function(llm_public_object out name)
  set(objects)
  foreach(target ${ARGN})
    list(APPEND objects $<TARGET_OBJECTS:${target}>)
  endforeach()
  if(CMAKE_OBJCOPY AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
    set(object ${PROJECT_BINARY_DIR}/${name}.o)
    add_custom_command(OUTPUT ${object}
      COMMAND ${CMAKE_LINKER} -r -o ${object} ${objects}
      COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${object}
      DEPENDS ${ARGN} ${objects} COMMAND_EXPAND_LISTS VERBATIM)
    set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    set(objects ${object})
  endif()
  set(${out} ${objects} PARENT_SCOPE)
endfunction()

function(llm_library target type)
  add_library(${target} ${type} ${ARGN})
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C)
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${LLM_PUBLIC_INCLUDE}> $<INSTALL_INTERFACE:include>)
  target_link_libraries(${target} PRIVATE Threads::Threads m ${CMAKE_DL_LIBS})
  if(LLM_SANITIZE)
    target_link_options(${target} PUBLIC -fsanitize=${LLM_SANITIZE})
  endif()
endfunction()

set(LLM_LAYERS llm_static llm_pure vk)
if(TARGET llm_static)
  llm_library(llm SHARED $<TARGET_OBJECTS:llm_static> $<TARGET_OBJECTS:llm_pure> $<TARGET_OBJECTS:vk>)
  set_target_properties(llm PROPERTIES VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  target_link_options(llm PRIVATE -Wl,--no-undefined)

  llm_public_object(object llm ${LLM_LAYERS})
  llm_library(llm_archive STATIC ${object})
  set_target_properties(llm_archive PROPERTIES OUTPUT_NAME llm EXPORT_NAME static)
endif()

# The same with the Lua binding, for programs that host Lua and link the module in. The host brings Lua.
if(TARGET llm_static AND TARGET llm_lua)
  llm_public_object(object llm_lua llm_lua ${LLM_LAYERS})
  llm_library(llm_lua_static STATIC ${object})
  set_target_properties(llm_lua_static PROPERTIES OUTPUT_NAME llm_lua EXPORT_NAME lua)
endif()
