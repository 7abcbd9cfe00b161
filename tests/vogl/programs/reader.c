/* Reads whole pictures until its context is lost in the middle of one. */
#include "stage.h"

enum { EDGE = 512 };

static void say(const char* what) {
    puts(what);
    fflush(stdout);
}

int main(int count, char** words) {
    static unsigned char pixels[EDGE * EDGE * 4];
    Stage stage;
    size_t i, changed = 0;
    int frame = 0;

    (void)count;
    stage_open(&stage, EDGE, EDGE, words[1]);
    do {
        glClearColor((float)(frame % 256) / 255, 0, 0, 1);
        glClear(GL_COLOR_BUFFER_BIT);
        glReadPixels(0, 0, EDGE, EDGE, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
        if (frame == 5) {
            for (i = 0; i < sizeof pixels; i += 4) changed += pixels[i] != 5 || pixels[i + 3] != 255;
            say(changed == 0 ? "reading" : "wrong");
        }
        ++frame;
    } while (eglSwapBuffers(stage.display, stage.surface));
    printf("lost 0x%04x\n", (unsigned)eglGetError());
    /* A picture that cannot be had leaves the program's memory alone. */
    memset(pixels, 9, sizeof pixels);
    glReadPixels(0, 0, EDGE, EDGE, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
    for (changed = i = 0; i < sizeof pixels; ++i) changed += pixels[i] != 9;
    printf("%d bytes changed, error %d\n", (int)changed, (int)glGetError());
    fflush(stdout);
    eglMakeCurrent(stage.display, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
    eglDestroyContext(stage.display, stage.context);
    eglTerminate(stage.display);
    say("let go");
    return 0;
}
