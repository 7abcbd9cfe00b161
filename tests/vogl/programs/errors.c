/* Calls that GL refuses, and what it says to each. */
#include "stage.h"

static Stage stage;
static void said(const char* what) { fprintf(stage.log, "%s: 0x%04x\n", what, glGetError()); }
#define TRY(call) (call, said(#call))

int main(int count, char** words) {
    static unsigned char pixels[4096];
    static const GLubyte indices[4] = {0, 1, 2, 3};
    const GLfloat floats[16] = {0};
    GLint number = 77;
    GLuint names[2] = {55, 55}, program, shader;
    char text[64] = "untouched";

    (void)count;
    stage_open(&stage, 16, 16, words[1]);
    program = stage_program(colour_vertex, colour_fragment);
    shader = glCreateShader(GL_VERTEX_SHADER);
    TRY(glEnable(0x1234));
    TRY(glClear(0xFFFFFFFFu));
    TRY(glBindBuffer(0x1234, 1));
    TRY(glBindTexture(0x1234, 1));
    TRY(glBlendFunc(0x9999, GL_ONE));
    TRY(glUseProgram(999));
    TRY(glAttachShader(program, 998));
    TRY(glCompileShader(997));
    TRY(glViewport(0, 0, -1, 5));
    TRY(glScissor(0, 0, 5, -1));
    TRY(glLineWidth(-1.0f));
    TRY(glGenBuffers(-1, names));
    fprintf(stage.log, "names %u\n", names[0]);
    TRY(glDeleteTextures(-3, names));
    TRY(glDrawArrays(GL_TRIANGLES, 0, -1));
    TRY(glDrawArrays(0x77, 0, 3));
    TRY(glDrawElements(GL_TRIANGLES, -1, GL_UNSIGNED_BYTE, indices));
    TRY(glDrawElements(GL_TRIANGLES, 3, GL_FLOAT, indices));
    TRY(glVertexAttribPointer(999, 4, GL_FLOAT, GL_FALSE, 0, floats));
    TRY(glVertexAttribPointer(0, 9, GL_FLOAT, GL_FALSE, 0, floats));
    TRY(glVertexAttribPointer(0, 4, 0x77, GL_FALSE, 0, floats));
    TRY(glVertexAttribPointer(0, 4, GL_FLOAT, GL_FALSE, -4, floats));
    TRY(glEnableVertexAttribArray(999));
    TRY(glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, -1, 4, 0, GL_RGBA, GL_UNSIGNED_BYTE, pixels));
    TRY(glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, 4, 4, 1, GL_RGBA, GL_UNSIGNED_BYTE, pixels));
    TRY(glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, 4, 4, 0, 0x7777, GL_UNSIGNED_BYTE, pixels));
    TRY(glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, 4, 4, 0, GL_RGBA, 0x7777, pixels));
    TRY(glTexImage2D(GL_TEXTURE_2D, 0, GL_RGB, 4, 4, 0, GL_RGB, GL_UNSIGNED_SHORT_4_4_4_4, pixels));
    TRY(glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, 1 << 20, 1, 0, GL_RGBA, GL_UNSIGNED_BYTE, NULL));
    TRY(glTexImage2D(0x77, 0, GL_RGBA, 4, 4, 0, GL_RGBA, GL_UNSIGNED_BYTE, pixels));
    TRY(glTexSubImage2D(GL_TEXTURE_2D, 0, 0, 0, 99, 99, GL_RGBA, GL_UNSIGNED_BYTE, NULL));
    TRY(glTexParameteri(GL_TEXTURE_2D, 0x7777, 1));
    TRY(glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, 0x7777));
    TRY(glPixelStorei(GL_UNPACK_ALIGNMENT, 3));
    TRY(glPixelStorei(0x7777, 4));
    TRY(glReadPixels(0, 0, -2, 4, GL_RGBA, GL_UNSIGNED_BYTE, pixels));
    TRY(glReadPixels(0, 0, 4, 4, 0x7777, GL_UNSIGNED_BYTE, pixels));
    TRY(glUniform1f(500, 1.0f));
    TRY(glUniform4fv(0, -2, floats));
    TRY(glUniform3f(glGetUniformLocation(program, "shift"), 1, 2, 3));
    TRY(glGetIntegerv(0x7777, &number));
    fprintf(stage.log, "number %d\n", number);
    TRY(glGetShaderiv(996, GL_COMPILE_STATUS, &number));
    fprintf(stage.log, "number %d\n", number);
    TRY(glGetProgramiv(program, 0x7777, &number));
    TRY(glGetShaderInfoLog(shader, -5, NULL, text));
    fprintf(stage.log, "text %s\n", text);
    /* An error leaves every output alone. */
    names[0] = names[1] = 77;
    TRY(glGetShaderPrecisionFormat(0x77, GL_LOW_FLOAT, &number, (GLint*)names));
    TRY(glGetShaderPrecisionFormat(GL_VERTEX_SHADER, 0x77, &number, (GLint*)names));
    TRY(glGetActiveAttrib(program, 999, sizeof text, &number, (GLint*)names, &names[1], text));
    TRY(glGetActiveUniform(program, 999, sizeof text, &number, (GLint*)names, &names[1], text));
    TRY(glGetActiveUniform(program, 0, -1, &number, (GLint*)names, &names[1], text));
    TRY(glGetAttachedShaders(993, 2, &number, names));
    TRY(glGetProgramInfoLog(992, sizeof text, &number, text));
    TRY(glGetShaderSource(991, sizeof text, &number, text));
    TRY(glGetShaderInfoLog(program, sizeof text, &number, text));
    fprintf(stage.log, "outputs %d %u %u %s\n", number, names[0], names[1], text);
    TRY(glShaderSource(shader, -1, NULL, NULL));
    TRY(glBufferData(GL_ARRAY_BUFFER, -1, NULL, GL_STATIC_DRAW));
    TRY(glBufferData(GL_ARRAY_BUFFER, 16, NULL, GL_STATIC_DRAW)); /* nothing is bound */
    TRY(glBufferSubData(GL_ARRAY_BUFFER, -1, 4, floats));
    TRY(glRenderbufferStorage(GL_RENDERBUFFER, GL_RGBA4, 4, 4));
    TRY(glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, 1, 0));
    TRY(glCheckFramebufferStatus(0x77));
    TRY(glStencilOp(0x77, GL_KEEP, GL_KEEP));
    TRY(glDepthFunc(0x77));
    TRY(glHint(0x77, GL_NICEST));
    TRY(glActiveTexture(0x77));
    fprintf(stage.log, "string %s\n", glGetString(0x7777) == NULL ? "none" : "some");
    said("glGetString");
    fprintf(stage.log, "string %s\n", glGetString(0x7777) == NULL ? "none" : "some");
    said("glGetString again");
    fprintf(stage.log, "location %d\n", glGetUniformLocation(995, "x"));
    said("glGetUniformLocation");
    fprintf(stage.log, "is %d %d %d\n", glIsProgram(program), glIsProgram(994), glIsShader(shader));
    said("last");

    /* EGL's own. */
    number = (GLint)eglSwapBuffers(stage.display, (EGLSurface)(size_t)0x1234567);
    fprintf(stage.log, "swap %d 0x%04x\n", number, (unsigned)eglGetError());
    number = (GLint)eglBindAPI(0x77);
    fprintf(stage.log, "api %d 0x%04x\n", number, (unsigned)eglGetError());
    number = (GLint)eglMakeCurrent(stage.display, stage.surface, stage.surface, (EGLContext)(size_t)0x99);
    fprintf(stage.log, "current %d 0x%04x\n", number, (unsigned)eglGetError());
    fprintf(stage.log, "fine 0x%04x\n", (unsigned)eglGetError());
    stage_frame(&stage);
    stage_close(&stage);
    return 0;
}
