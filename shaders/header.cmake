# cmake -DINPUT=a.spv -DNAME=a -DOUTPUT=a.h -P header.cmake: SPIR-V as the bytes a_spirv of a raw deflate stream (RFC
# 1951), and a_size, what they inflate to. It is what a gzip file (RFC 1952) has between its header of 10 bytes, which
# says when it was made, and its last 8.
file(ARCHIVE_CREATE OUTPUT ${INPUT}.gz PATHS ${INPUT} FORMAT raw COMPRESSION GZip COMPRESSION_LEVEL 9)
file(SIZE ${INPUT} size)
file(READ ${INPUT}.gz gzip HEX)
if(NOT gzip MATCHES "^1f8b0800")
  message(FATAL_ERROR "${INPUT}.gz has a header of more than 10 bytes")
endif()
string(LENGTH ${gzip} digits)
math(EXPR digits "${digits} - 36")
string(SUBSTRING ${gzip} 20 ${digits} bytes)
string(REGEX REPLACE "(..)" "0x\\1," bytes ${bytes})
file(WRITE ${OUTPUT} "#pragma once\nstatic const uint8_t ${NAME}_spirv[] = {${bytes}};\nenum { ${NAME}_size = ${size} };\n")
