/* What GL says about itself and its objects. */
#include "stage.h"

static const GLenum integers[] = {
    GL_VIEWPORT, GL_SCISSOR_BOX, GL_MAX_VERTEX_ATTRIBS, GL_MAX_TEXTURE_SIZE, GL_DEPTH_RANGE,
    GL_COLOR_WRITEMASK, GL_UNPACK_ALIGNMENT, GL_PACK_ALIGNMENT, GL_SUBPIXEL_BITS, GL_RED_BITS,
    GL_MAX_VIEWPORT_DIMS, GL_CURRENT_PROGRAM, GL_ARRAY_BUFFER_BINDING, GL_BLEND_SRC_RGB};

int main(int count, char** words) {
    Stage stage;
    GLuint program, shaders[4] = {0, 0, 0, 0};
    GLint number[4], length = 0, size = 0, range[2] = {0, 0}, precision = 0, n = 0, i, k;
    GLfloat floats[4] = {0, 0, 0, 0};
    GLboolean on[4] = {9, 9, 9, 9};
    GLenum type = 0;
    char text[256];

    (void)count;
    stage_open(&stage, 20, 10, words[1]);
    program = stage_program(colour_vertex, colour_fragment);
    for (i = 0; i < (GLint)(sizeof integers / sizeof *integers); ++i) {
        for (k = 0; k < 4; ++k) number[k] = -77;
        glGetIntegerv(integers[i], number);
        fprintf(stage.log, "0x%04x: %d %d %d %d\n", integers[i], number[0], number[1], number[2],
                number[3]);
    }
    glGetFloatv(GL_DEPTH_RANGE, floats);
    fprintf(stage.log, "range %g %g %g\n", (double)floats[0], (double)floats[1], (double)floats[2]);
    glGetBooleanv(GL_COLOR_WRITEMASK, on);
    fprintf(stage.log, "mask %d %d %d %d\n", on[0], on[1], on[2], on[3]);
    glGetProgramiv(program, GL_ACTIVE_ATTRIBUTES, &n);
    for (i = 0; i < n; ++i) {
        glGetActiveAttrib(program, (GLuint)i, sizeof text, &length, &size, &type, text);
        fprintf(stage.log, "attribute %s %d %d 0x%04x at %d\n", text, length, size, type,
                glGetAttribLocation(program, text));
    }
    glGetProgramiv(program, GL_ACTIVE_UNIFORMS, &n);
    for (i = 0; i < n; ++i) {
        glGetActiveUniform(program, (GLuint)i, 4, &length, &size, &type, text); /* cut to three */
        fprintf(stage.log, "uniform %s %d %d 0x%04x\n", text, length, size, type);
    }
    glUniform2f(glGetUniformLocation(program, "shift"), 0.5f, -2.0f);
    glGetUniformfv(program, glGetUniformLocation(program, "shift"), floats);
    fprintf(stage.log, "value %g %g\n", (double)floats[0], (double)floats[1]);
    glGetAttachedShaders(program, 4, &n, shaders);
    fprintf(stage.log, "attached %d\n", n);
    glGetAttachedShaders(program, 1, NULL, shaders);
    glGetShaderSource(shaders[0], sizeof text, &length, text);
    fprintf(stage.log, "source %d %s\n", length, text);
    glGetShaderSource(shaders[0], 10, NULL, text);
    fprintf(stage.log, "cut %s\n", text);
    glGetShaderPrecisionFormat(GL_FRAGMENT_SHADER, GL_MEDIUM_FLOAT, range, &precision);
    fprintf(stage.log, "precision %d %d %d\n", range[0], range[1], precision);
    shaders[3] = glCreateShader(GL_FRAGMENT_SHADER);
    {
        const char* bad = "void main() { oops }";
        glShaderSource(shaders[3], 1, &bad, NULL);
        glCompileShader(shaders[3]);
        glGetShaderiv(shaders[3], GL_COMPILE_STATUS, &n);
        glGetShaderInfoLog(shaders[3], sizeof text, &length, text);
        fprintf(stage.log, "compiled %d: %d %s\n", n, length, text);
    }
    glVertexAttrib3f(2, 1, 2, 3);
    glGetVertexAttribfv(2, GL_CURRENT_VERTEX_ATTRIB, floats);
    fprintf(stage.log, "current %g %g %g %g\n", (double)floats[0], (double)floats[1],
            (double)floats[2], (double)floats[3]);
    glGetVertexAttribiv(0, GL_VERTEX_ATTRIB_ARRAY_SIZE, &n);
    fprintf(stage.log, "size %d\n", n);
    fprintf(stage.log, "version is ES 2 or later: %d\n",
            strncmp((const char*)glGetString(GL_VERSION), "OpenGL ES ", 10) == 0);
    fprintf(stage.log, "the same string twice: %d\n", glGetString(GL_VENDOR) == glGetString(GL_VENDOR));
    stage_frame(&stage);
    stage_close(&stage);
    return 0;
}
