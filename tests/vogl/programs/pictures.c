/* Pictures read back: words are the base name, width, height, pictures. Says how long each took. */
#include <time.h>

#include "stage.h"

int main(int count, char** words) {
    Stage stage;
    const int width = count > 2 ? atoi(words[2]) : 512;
    const int height = count > 3 ? atoi(words[3]) : 512;
    const int pictures = count > 4 ? atoi(words[4]) : 20;
    unsigned char* pixels = malloc((size_t)width * (size_t)height * 4);
    struct timespec from, to;
    int i;

    stage_open(&stage, width, height, words[1]);
    glPixelStorei(GL_PACK_ALIGNMENT, 1);
    for (i = 0; i < pictures; ++i) {
        glClearColor((float)i / (float)pictures, 0.5f, 0.25f, 1);
        glClear(GL_COLOR_BUFFER_BIT);
        glFinish();
        clock_gettime(CLOCK_MONOTONIC, &from);
        glReadPixels(0, 0, width, height, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
        clock_gettime(CLOCK_MONOTONIC, &to);
        fprintf(stage.log, "%ld\n", (to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec);
        fflush(stage.log);
        fwrite(pixels + (size_t)(i * 4) % 1024, 1, 64, stage.picture);
    }
    free(pixels);
    stage_frame(&stage);
    stage_close(&stage);
    return 0;
}
