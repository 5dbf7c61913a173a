# cmake -DINPUT=parts.lua -DOUTPUT=parts.h -P embed.cmake: the bytes of a file as a C array named after it.
get_filename_component(name ${INPUT} NAME)
string(REPLACE "." "_" name ${name})
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUTPUT} "static const unsigned char ${name}[] = {\n${bytes}\n};\n")
