# Library, header, module, CMake package (llm::llm, llm::static, llm::lua) and pkg-config file.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

if(TARGET llm)
  install(TARGETS llm llm_archive EXPORT llm)
  if(TARGET llm_lua_static)
    install(TARGETS llm_lua_static EXPORT llm)
  endif()
  install(FILES runtime/llm.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

  set(package ${CMAKE_INSTALL_LIBDIR}/cmake/llm)
  install(EXPORT llm NAMESPACE llm:: FILE llm-targets.cmake DESTINATION ${package})
  configure_package_config_file(cmake/llm-config.cmake.in ${PROJECT_BINARY_DIR}/llm-config.cmake
    INSTALL_DESTINATION ${package})
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/llm-config-version.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/llm-config.cmake ${PROJECT_BINARY_DIR}/llm-config-version.cmake
    DESTINATION ${package})

  # The file finds its prefix from where it lies, which cmake --install --prefix may choose.
  set(prefix ${CMAKE_INSTALL_PREFIX})
  if(NOT IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
    file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
    string(REGEX REPLACE "/$" "" up ${up})
    set(prefix "\${pcfiledir}/${up}")
  endif()
  configure_file(cmake/llm.pc.in ${PROJECT_BINARY_DIR}/llm.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/llm.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()

# Where lua5.4 looks under its prefix.
set(LLM_LUA_FOLDER ${CMAKE_INSTALL_LIBDIR}/lua/5.4 CACHE STRING "Where the Lua module is installed")
if(TARGET llm_lua)
  install(FILES $<TARGET_FILE:llm_lua> DESTINATION ${LLM_LUA_FOLDER})
endif()
if(TARGET llm_luajit)
  install(FILES $<TARGET_FILE:llm_luajit> DESTINATION ${CMAKE_INSTALL_LIBDIR}/lua/5.1)
endif()
