/* A shader in several strings, with and without lengths, and every kind of uniform. */
#include "stage.h"

static const char* const vertex[] = {
    "attribute vec2 place;\n", "varying vec2 at;\n", "void main() { at = place; ",
    "gl_Position = vec4(place, 0.0, 1.0); }"};
static const char fragment[] =
    "precision mediump float; varying vec2 at;\n"
    "uniform float one; uniform vec2 two; uniform vec3 three; uniform vec4 four[3];\n"
    "uniform int chosen; uniform ivec2 ints; uniform bool on;\n"
    "uniform mat2 m2; uniform mat3 m3; uniform mat4 m4;\n"
    "void main() {\n"
    "  vec4 c = four[0] * one + vec4(two, three.xy) * 0.25 + four[2] * at.x;\n"
    "  if (chosen == 7 && ints.y == -3 && on) c.r += 0.125;\n"
    "  c.rg += m2 * at; c.rgb += m3 * vec3(at, 0.5); c += m4 * vec4(at, 0.25, 0.5);\n"
    "  gl_FragColor = fract(abs(c));\n}\n";

int main(int count, char** words) {
    Stage stage;
    GLuint shaders[2], program;
    const GLfloat quad[] = {-1, -1, 1, -1, -1, 1, 1, 1};
    const GLfloat four[12] = {0.1f, 0.2f, 0.3f, 1, 0.4f, 0.5f, 0.6f, 1, 0.7f, 0.8f, 0.9f, 1};
    const GLfloat m[16] = {0.11f, 0.22f, 0.33f, 0.44f, 0.5f, 0.06f, 0.17f, 0.28f,
                           0.39f, 0.1f,  0.21f, 0.32f, 0.9f, 0.8f,  0.7f,  0.6f};
    const char* parts[3];
    GLint lengths[3];
    GLint fine = 0;

    (void)count;
    stage_open(&stage, 97, 61, words[1]);
    shaders[0] = glCreateShader(GL_VERTEX_SHADER);
    glShaderSource(shaders[0], 4, vertex, NULL);
    glCompileShader(shaders[0]);
    /* The fragment shader in three pieces of one text: two by length, the last up to its end. */
    parts[0] = fragment;
    parts[1] = fragment + 40;
    parts[2] = fragment + 200;
    lengths[0] = 40;
    lengths[1] = 160;
    lengths[2] = -1;
    shaders[1] = glCreateShader(GL_FRAGMENT_SHADER);
    glShaderSource(shaders[1], 3, parts, lengths);
    glCompileShader(shaders[1]);
    glGetShaderiv(shaders[1], GL_COMPILE_STATUS, &fine);
    fprintf(stage.log, "compiled %d\n", fine);
    program = stage_link(shaders[0], shaders[1]);

    glUniform1f(glGetUniformLocation(program, "one"), 0.75f);
    glUniform2f(glGetUniformLocation(program, "two"), 0.3f, 0.6f);
    glUniform3fv(glGetUniformLocation(program, "three"), 1, &four[4]);
    glUniform4fv(glGetUniformLocation(program, "four"), 3, four);
    glUniform1i(glGetUniformLocation(program, "chosen"), 7);
    glUniform2i(glGetUniformLocation(program, "ints"), 2, -3);
    glUniform1i(glGetUniformLocation(program, "on"), GL_TRUE);
    glUniformMatrix2fv(glGetUniformLocation(program, "m2"), 1, GL_FALSE, m);
    glUniformMatrix3fv(glGetUniformLocation(program, "m3"), 1, GL_FALSE, m);
    glUniformMatrix4fv(glGetUniformLocation(program, "m4"), 1, GL_FALSE, m);
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, quad);
    glEnableVertexAttribArray(0);
    glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
    stage_frame(&stage);
    stage_close(&stage);
    return 0;
}
