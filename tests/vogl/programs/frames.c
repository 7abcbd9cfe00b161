/* Frames of many draw calls: words are the base name, draws a frame, frames. Says how long each took. */
#include <time.h>

#include "stage.h"

int main(int count, char** words) {
    Stage stage;
    const int draws = count > 2 ? atoi(words[2]) : 1000;
    const int frames = count > 3 ? atoi(words[3]) : 20;
    const GLfloat places[] = {-0.01f, -0.01f, 0.01f, -0.01f, 0, 0.01f};
    struct timespec from, to;
    GLuint vertices;
    GLint shift;
    int f, i;

    stage_open(&stage, 128, 128, words[1]);
    shift = glGetUniformLocation(stage_program(colour_vertex, colour_fragment), "shift");
    glGenBuffers(1, &vertices);
    glBindBuffer(GL_ARRAY_BUFFER, vertices);
    glBufferData(GL_ARRAY_BUFFER, sizeof places, places, GL_STATIC_DRAW);
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, (void*)0);
    glEnableVertexAttribArray(0);
    glVertexAttrib4f(1, 1, 1, 0, 1);
    for (f = 0; f < frames; ++f) {
        clock_gettime(CLOCK_MONOTONIC, &from);
        glClear(GL_COLOR_BUFFER_BIT);
        for (i = 0; i < draws; ++i) {
            glUniform2f(shift, (float)(i % 40) / 20 - 1, (float)(i / 40) / 20 - 1);
            glDrawArrays(GL_TRIANGLES, 0, 3);
        }
        glFinish();
        eglSwapBuffers(stage.display, stage.surface);
        clock_gettime(CLOCK_MONOTONIC, &to);
        fprintf(stage.log, "%ld\n", (to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec);
        fflush(stage.log);
    }
    stage_frame(&stage);
    stage_close(&stage);
    return 0;
}
