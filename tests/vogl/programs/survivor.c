/* Draws until its context is lost; says each step on standard output. Then begins anew. */
#include "stage.h"

static void say(const char* what) {
    puts(what);
    fflush(stdout);
}

int main(int count, char** words) {
    const GLfloat places[] = {-1, -1, 1, -1, 0, 1};
    unsigned char pixel[4] = {1, 2, 3, 4};
    Stage stage;
    int life;

    (void)count;
    stage_open(&stage, 32, 32, words[1]);
    for (life = 0; life < 2; ++life) {
        GLint shift;
        int frame = 0;
        if (life == 1) {
            /* The display comes back with the next server. */
            stage_display(&stage);
            stage_context(&stage, EGL_NO_CONTEXT);
        }
        shift = glGetUniformLocation(stage_program(colour_vertex, colour_fragment), "shift");
        glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, places);
        glEnableVertexAttribArray(0);
        for (;;) {
            int i;
            for (i = 0; i < 200; ++i) {
                glUniform2f(shift, (float)i / 200, 0);
                glDrawArrays(GL_TRIANGLES, 0, 3);
            }
            if (!eglSwapBuffers(stage.display, stage.surface)) break;
            if (++frame == 3) say(life == 0 ? "drawing" : "drawing again");
            if (life == 1 && frame == 3) {
                glReadPixels(0, 0, 1, 1, GL_RGBA, GL_UNSIGNED_BYTE, pixel);
                printf("pixel %d error %d\n", pixel[3], (int)glGetError());
                stage_close(&stage);
                return 0;
            }
        }
        printf("lost 0x%04x\n", (unsigned)eglGetError());
        /* Nothing of this may crash, wait for ever or touch the program's memory. */
        memset(pixel, 9, sizeof pixel);
        glReadPixels(0, 0, 1, 1, GL_RGBA, GL_UNSIGNED_BYTE, pixel);
        glDrawArrays(GL_TRIANGLES, 0, 3);
        printf("pixel %d location %d string %s error %d\n", pixel[0],
               glGetUniformLocation(1, "shift"), glGetString(GL_VENDOR) == NULL ? "none" : "some",
               (int)glGetError());
        printf("current %d\n", eglMakeCurrent(stage.display, stage.surface, stage.surface, stage.context));
        printf("lost 0x%04x\n", (unsigned)eglGetError());
        eglMakeCurrent(stage.display, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
        eglDestroyContext(stage.display, stage.context);
        eglDestroySurface(stage.display, stage.surface);
        eglTerminate(stage.display);
        say("let go");
    }
    return 1;
}
