// The dot product of two words of four signed bytes (VK_KHR_shader_integer_dot_product), spelt out for
// compilers that do not know GL_EXT_integer_dot_product.
#extension GL_EXT_spirv_intrinsics : require
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4450)
int packed_dot(int a, int b, spirv_literal int format);

int dot4(int a, int b) { return packed_dot(a, b, 0); }
