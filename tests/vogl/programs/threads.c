/* Two contexts in two threads, each with a picture of its own. */
#include <pthread.h>

#include "stage.h"

static Stage stages[2];
static unsigned char pictures[2][80 * 50 * 4];
static const char* const kinds[2] = {"vec4(1.0, at, 0.0)", "vec4(at.yx, 1.0, 1.0)"};

static void* paint(void* which) {
    const int me = *(const int*)which;
    Stage* stage = &stages[me];
    char text[512];
    const GLfloat quad[] = {-0.8f, -0.9f, 0.9f, -0.7f, -0.6f, 0.8f, 0.7f, 0.6f};
    int i;
    stage_context(stage, EGL_NO_CONTEXT);
    snprintf(text, sizeof text,
             "precision mediump float; varying vec2 at; uniform sampler2D texels;\n"
             "void main() { gl_FragColor = %s; }",
             kinds[me]);
    glUniform4f(glGetUniformLocation(stage_program(texture_vertex, text), "box"), 0, 0, 1, 1);
    glEnableVertexAttribArray(0);
    for (i = 0; i < 50; ++i) {
        glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, quad);
        glClearColor((float)i / 50, (float)me, 0.5f, 1);
        glClear(GL_COLOR_BUFFER_BIT);
        glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
        stage_read(stage, pictures[me]);
        eglSwapBuffers(stage->display, stage->surface);
    }
    eglMakeCurrent(stage->display, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
    return NULL;
}

int main(int count, char** words) {
    Stage first;
    pthread_t threads[2];
    int numbers[2] = {0, 1}, i;

    (void)count;
    stage_open(&first, 80, 50, words[1]);
    for (i = 0; i < 2; ++i) {
        stages[i] = first;
        pthread_create(&threads[i], NULL, paint, &numbers[i]);
    }
    for (i = 0; i < 2; ++i) {
        pthread_join(threads[i], NULL);
        fwrite(pictures[i], 1, sizeof pictures[i], first.picture);
    }
    stage_frame(&first);
    stage_close(&first);
    return 0;
}
