# cmake -DINPUT=a.spv -DNAME=a_spirv -DOUTPUT=a.h -P header.cmake: SPIR-V (little-endian) as the array that glslang --vn makes.
file(READ ${INPUT} words HEX)
string(REGEX REPLACE "(..)(..)(..)(..)" "0x\\4\\3\\2\\1," words "${words}")
file(WRITE ${OUTPUT} "#pragma once\nconst uint32_t ${NAME}[] = {${words}};\n")
