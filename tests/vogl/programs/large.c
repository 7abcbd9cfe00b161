/* Textures, arrays, read-back and texts that are far larger than what a small board has for a channel. */
#include "stage.h"

enum { EDGE = 4096, POINTS = 2000000 };

static unsigned char* noise(size_t bytes) {
    unsigned char* all = malloc(bytes);
    unsigned seed = 12345;
    size_t i;
    for (i = 0; i < bytes; ++i) all[i] = (unsigned char)((seed = seed * 1664525u + 1013904223u) >> 24);
    return all;
}

static Stage stage;
static void said(const char* what) { fprintf(stage.log, "%s: 0x%04x\n", what, glGetError()); }

static void textures(const unsigned char* texels) {
    const GLfloat quad[] = {-1, -1, 1, -1, -1, 1, 1, 1};
    const GLuint program = stage_program(texture_vertex, texture_fragment);
    GLuint texture;
    glUniform4f(glGetUniformLocation(program, "box"), 0, 0, 1, 1);
    glGenTextures(1, &texture);
    glBindTexture(GL_TEXTURE_2D, texture);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, quad);
    glEnableVertexAttribArray(0);
    glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, EDGE, EDGE, 0, GL_RGBA, GL_UNSIGNED_BYTE, texels);
    said("whole");
    glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
    stage_frame(&stage);
    glPixelStorei(GL_UNPACK_ALIGNMENT, 8);
    glTexSubImage2D(GL_TEXTURE_2D, 0, 3, 5, 2501, 2001, GL_RGBA, GL_UNSIGNED_BYTE, texels + 77);
    said("part");
    glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
    stage_frame(&stage);
    /* Refused as a whole: nothing of it arrives. */
    glTexSubImage2D(GL_TEXTURE_2D, 0, 2000, 0, 2501, 2001, GL_RGBA, GL_UNSIGNED_BYTE, texels);
    said("over the edge");
    glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, EDGE, EDGE, 1, GL_RGBA, GL_UNSIGNED_BYTE, texels);
    said("a border");
    glTexImage2D(GL_TEXTURE_2D, 0, GL_RGB, EDGE, EDGE, 0, GL_RGBA, GL_UNSIGNED_BYTE, texels);
    said("formats that differ");
    glTexImage2D(0x77, 0, GL_RGBA, EDGE, EDGE, 0, GL_RGBA, GL_UNSIGNED_BYTE, texels);
    said("no target");
    glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
    stage_frame(&stage);
    glTexImage2D(GL_TEXTURE_2D, 0, GL_RGB, 3001, 2003, 0, GL_RGB, GL_UNSIGNED_BYTE, texels + 1);
    glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
    glPixelStorei(GL_UNPACK_ALIGNMENT, 4);
    stage_frame(&stage);
    glDeleteTextures(1, &texture);
}

static void arrays(const unsigned char* any) {
    GLfloat* places = malloc(POINTS * 2 * sizeof *places);
    GLuint* indices = malloc(POINTS * sizeof *indices);
    GLuint buffers[2];
    int i;
    for (i = 0; i < POINTS; ++i) {
        places[2 * i] = (GLfloat)(any[i % 65536] + i % 7) / 128 - 1;
        places[2 * i + 1] = (GLfloat)i / (POINTS / 2) - 1;
        indices[i] = (GLuint)(POINTS - 1 - i);
    }
    stage_program(colour_vertex, colour_fragment);
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, places);
    glVertexAttribPointer(1, 4, GL_UNSIGNED_BYTE, GL_TRUE, 0, any);
    glEnableVertexAttribArray(1);
    glClear(GL_COLOR_BUFFER_BIT);
    glDrawArrays(GL_POINTS, 0, POINTS);
    said("arrays in memory");
    stage_frame(&stage);
    glClear(GL_COLOR_BUFFER_BIT);
    glDrawElements(GL_POINTS, POINTS, GL_UNSIGNED_INT, indices);
    said("indices in memory");
    stage_frame(&stage);

    glGenBuffers(2, buffers);
    glBindBuffer(GL_ARRAY_BUFFER, buffers[0]);
    glBufferData(GL_ARRAY_BUFFER, POINTS * 8, places, GL_STATIC_DRAW);
    glBindBuffer(GL_ELEMENT_ARRAY_BUFFER, buffers[1]);
    glBufferData(GL_ELEMENT_ARRAY_BUFFER, POINTS * 4, NULL, GL_DYNAMIC_DRAW);
    glBufferSubData(GL_ELEMENT_ARRAY_BUFFER, 0, POINTS * 4, indices);
    said("buffers");
    glBufferSubData(GL_ELEMENT_ARRAY_BUFFER, 4, POINTS * 4, places);
    said("beyond a buffer");
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, (void*)0);
    glDisableVertexAttribArray(1);
    glVertexAttrib4f(1, 0, 1, 1, 1);
    glClear(GL_COLOR_BUFFER_BIT);
    glDrawElements(GL_POINTS, POINTS / 2, GL_UNSIGNED_INT, (void*)(size_t)(POINTS * 2));
    said("all in buffers");
    stage_frame(&stage);
    glDeleteBuffers(2, buffers);
    free(places);
    free(indices);
}

/* A shader of a megabyte, told back whole. */
static void texts(void) {
    enum { BYTES = 1 << 20 };
    char* text = malloc(BYTES + 1);
    char* back = malloc(BYTES + 1);
    const char* words = text;
    const GLuint shader = glCreateShader(GL_FRAGMENT_SHADER);
    const GLuint* names;
    GLuint* many = malloc(100000 * sizeof *many);
    GLsizei length = 0;
    GLint size = 0;
    memset(text, '/', BYTES);
    text[BYTES] = '\0';
    glShaderSource(shader, 1, &words, NULL);
    glGetShaderiv(shader, GL_SHADER_SOURCE_LENGTH, &size);
    glGetShaderSource(shader, BYTES + 1, &length, back);
    fprintf(stage.log, "text %d %d %d\n", size, length, memcmp(text, back, BYTES + 1));
    strcpy(back, "stays");
    glGetShaderSource(4711, BYTES + 1, &length, back);
    fprintf(stage.log, "text %d %s\n", length, back);
    said("no such shader");
    glGenTextures(100000, many);
    glDeleteTextures(100000, many);
    said("a hundred thousand names");
    names = many;
    fprintf(stage.log, "names %d\n", names[0] != names[99999]);
    free(text);
    free(back);
    free(many);
}

int main(int count, char** words) {
    unsigned char* const any = noise((size_t)EDGE * EDGE * 4);
    (void)count;
    stage_open(&stage, 1500, 1100, words[1]); /* each frame is 6 MB */
    textures(any);
    arrays(any);
    texts();
    stage_close(&stage);
    free(any);
    return 0;
}
