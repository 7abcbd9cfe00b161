/* Framebuffer objects, and read-back with odd widths under every pack alignment. */
#include "stage.h"

int main(int count, char** words) {
    Stage stage;
    GLuint program, texture, depth, frame;
    GLint shift, format = 0, type = 0;
    const GLfloat places[] = {-0.9f, -0.8f, 0.9f, -0.7f, 0.1f, 0.9f};
    const GLfloat colours[] = {1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1};
    unsigned char pixels[64 * 64 * 4];
    int a, w;

    (void)count;
    stage_open(&stage, 64, 48, words[1]);
    program = stage_program(colour_vertex, colour_fragment);
    shift = glGetUniformLocation(program, "shift");
    glGenTextures(1, &texture);
    glBindTexture(GL_TEXTURE_2D, texture);
    glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, 37, 29, 0, GL_RGBA, GL_UNSIGNED_BYTE, NULL);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
    glGenRenderbuffers(1, &depth);
    glBindRenderbuffer(GL_RENDERBUFFER, depth);
    glRenderbufferStorage(GL_RENDERBUFFER, GL_DEPTH_COMPONENT16, 37, 29);
    glGenFramebuffers(1, &frame);
    glBindFramebuffer(GL_FRAMEBUFFER, frame);
    glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, texture, 0);
    glFramebufferRenderbuffer(GL_FRAMEBUFFER, GL_DEPTH_ATTACHMENT, GL_RENDERBUFFER, depth);
    fprintf(stage.log, "status 0x%04x\n", glCheckFramebufferStatus(GL_FRAMEBUFFER));
    glGetIntegerv(GL_IMPLEMENTATION_COLOR_READ_FORMAT, &format);
    glGetIntegerv(GL_IMPLEMENTATION_COLOR_READ_TYPE, &type);
    fprintf(stage.log, "read format 0x%04x type 0x%04x\n", (unsigned)format, (unsigned)type);

    glViewport(0, 0, 37, 29);
    glEnable(GL_DEPTH_TEST);
    glClearColor(0.2f, 0.4f, 0.6f, 0.8f);
    glClear(GL_COLOR_BUFFER_BIT | GL_DEPTH_BUFFER_BIT);
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, places);
    glVertexAttribPointer(1, 4, GL_FLOAT, GL_FALSE, 0, colours);
    glEnableVertexAttribArray(0);
    glEnableVertexAttribArray(1);
    glUniform2f(shift, 0.05f, 0);
    glDrawArrays(GL_TRIANGLES, 0, 3);
    for (a = 1; a <= 8; a *= 2)
        for (w = 1; w <= 33; w += 4) {
            memset(pixels, 0xDD, sizeof pixels); /* what lies between two rows stays */
            glPixelStorei(GL_PACK_ALIGNMENT, a);
            glReadPixels(1, 2, w, 7, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
            fwrite(pixels, 1, 64 * 8 * 4, stage.picture);
            memset(pixels, 0xEE, sizeof pixels); /* refused: all stays as it was */
            glReadPixels(1, 2, w, 7, GL_RGB, GL_UNSIGNED_BYTE, pixels);
            fprintf(stage.log, "%d %d: 0x%04x\n", a, w, glGetError());
            fwrite(pixels, 1, 64 * 8 * 4, stage.picture);
        }
    /* Over each edge, and beside it: those pixels stay as they were, no error. */
    for (a = -25; a <= 40; a += 13)
        for (w = -25; w <= 40; w += 13) {
            memset(pixels, 0x77, sizeof pixels);
            glReadPixels(a, w, 20, 20, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
            fwrite(pixels, 1, 64 * 25 * 4, stage.picture);
        }
    fprintf(stage.log, "over the edge 0x%04x\n", glGetError());

    glBindFramebuffer(GL_FRAMEBUFFER, 0);
    glViewport(0, 0, 64, 48);
    glDisable(GL_DEPTH_TEST);
    stage_program(texture_vertex, texture_fragment);
    glDisableVertexAttribArray(1);
    glUniform4f(glGetUniformLocation(program, "box"), 0, 0, 0, 0); /* of the other program: an error */
    fprintf(stage.log, "error 0x%04x\n", glGetError());
    stage_frame(&stage);
    stage_close(&stage);
    return 0;
}
