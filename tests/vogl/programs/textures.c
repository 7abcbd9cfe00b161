/* Textures with odd widths in every format, under every unpack alignment; sub-images, a cube. */
#include "stage.h"

static const GLenum formats[][2] = {
    {GL_ALPHA, GL_UNSIGNED_BYTE},         {GL_LUMINANCE, GL_UNSIGNED_BYTE},
    {GL_LUMINANCE_ALPHA, GL_UNSIGNED_BYTE}, {GL_RGB, GL_UNSIGNED_BYTE},
    {GL_RGBA, GL_UNSIGNED_BYTE},          {GL_RGB, GL_UNSIGNED_SHORT_5_6_5},
    {GL_RGBA, GL_UNSIGNED_SHORT_4_4_4_4}, {GL_RGBA, GL_UNSIGNED_SHORT_5_5_5_1}};
static const int widths[] = {1, 3, 5, 7, 13};
static unsigned char noise[64 * 1024];

int main(int count, char** words) {
    Stage stage;
    GLuint texture, program;
    const GLfloat quad[] = {0, 0, 1, 0, 0, 1, 1, 1};
    GLint box;
    unsigned seed = 12345;
    size_t i;
    int f, a, w;

    (void)count;
    for (i = 0; i < sizeof noise; ++i) {
        seed = seed * 1103515245u + 12345u;
        noise[i] = (unsigned char)(seed >> 16);
    }
    stage_open(&stage, 201, 161, words[1]);
    program = stage_program(texture_vertex, texture_fragment);
    box = glGetUniformLocation(program, "box");
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, quad);
    glEnableVertexAttribArray(0);
    glGenTextures(1, &texture);
    glBindTexture(GL_TEXTURE_2D, texture);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
    glTexParameterf(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
    glClearColor(0.25f, 0.25f, 0.25f, 1);
    glClear(GL_COLOR_BUFFER_BIT);
    glEnable(GL_BLEND);
    glBlendFunc(GL_ONE, GL_ONE_MINUS_SRC_ALPHA);
    for (a = 1; a <= 8; a *= 2)
        for (f = 0; f < 8; ++f)
            for (w = 0; w < 5; ++w) {
                const int row = (a == 1 ? 0 : a == 2 ? 1 : a == 4 ? 2 : 3) * 8 + f;
                glPixelStorei(GL_UNPACK_ALIGNMENT, a);
                glTexImage2D(GL_TEXTURE_2D, 0, (GLint)formats[f][0], widths[w], 5, 0, formats[f][0],
                             formats[f][1], noise + 8 * row);
                glTexSubImage2D(GL_TEXTURE_2D, 0, 0, 1, widths[w], 2, formats[f][0], formats[f][1],
                                noise + 4096 + 8 * w);
                glUniform4f(box, -1 + 0.4f * (float)w, -1 + 0.0625f * (float)row, 0.38f, 0.06f);
                glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
            }
    stage_frame(&stage);

    /* A texture without texels, filled later; mipmaps; what lies in a copy of the frame. */
    glPixelStorei(GL_UNPACK_ALIGNMENT, 4);
    glTexImage2D(GL_TEXTURE_2D, 0, GL_RGB, 32, 32, 0, GL_RGB, GL_UNSIGNED_BYTE, NULL);
    glTexSubImage2D(GL_TEXTURE_2D, 0, 0, 0, 32, 32, GL_RGB, GL_UNSIGNED_BYTE, noise);
    glGenerateMipmap(GL_TEXTURE_2D);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR_MIPMAP_LINEAR);
    glUniform4f(box, -0.9f, -0.9f, 0.3f, 0.4f);
    glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
    glCopyTexImage2D(GL_TEXTURE_2D, 0, GL_RGB, 3, 5, 64, 64, 0);
    glGenerateMipmap(GL_TEXTURE_2D);
    glUniform4f(box, 0.1f, 0.1f, 0.8f, 0.8f);
    glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
    stage_frame(&stage);
    stage_close(&stage);
    return 0;
}
