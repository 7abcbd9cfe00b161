/* Vertices and indices from client memory and from buffers, in every mixture. */
#include "stage.h"

typedef struct Vertex {
    GLfloat x, y;
    GLubyte colour[4];
} Vertex;

static Vertex fan[9];
static const GLubyte bytes[] = {0, 1, 2, 0, 2, 3, 0, 3, 4, 0, 4, 5};
static const GLushort shorts[] = {0, 5, 6, 0, 6, 7, 0, 7, 8};

static void fill(float scale, unsigned char tint) {
    static const float xy[9][2] = {{0, 0},  {1, 0},   {0.7f, 0.7f},  {0, 1},        {-0.7f, 0.7f},
                                   {-1, 0}, {-0.7f, -0.7f}, {0, -1}, {0.7f, -0.7f}};
    int i;
    for (i = 0; i < 9; ++i) {
        fan[i].x = xy[i][0] * scale;
        fan[i].y = xy[i][1] * scale;
        fan[i].colour[0] = (GLubyte)(i * 28);
        fan[i].colour[1] = (GLubyte)(255 - i * 20);
        fan[i].colour[2] = tint;
        fan[i].colour[3] = 255;
    }
}

static void memory_arrays(void) {
    glBindBuffer(GL_ARRAY_BUFFER, 0);
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, sizeof(Vertex), &fan[0].x);
    glVertexAttribPointer(1, 4, GL_UNSIGNED_BYTE, GL_TRUE, sizeof(Vertex), fan[0].colour);
}

int main(int count, char** words) {
    Stage stage;
    GLuint program, vertices, indices, spare;
    GLint shift;
    void* pointer = NULL;

    (void)count;
    stage_open(&stage, 150, 90, words[1]);
    program = stage_program(colour_vertex, colour_fragment);
    shift = glGetUniformLocation(program, "shift");
    glEnableVertexAttribArray(0);
    glEnableVertexAttribArray(1);
    glClear(GL_COLOR_BUFFER_BIT);

    /* All from memory; the memory changes between the draws, not the pointers. */
    fill(0.4f, 10);
    memory_arrays();
    glUniform2f(shift, -0.6f, -0.5f);
    glDrawElements(GL_TRIANGLES, 12, GL_UNSIGNED_BYTE, bytes);
    fill(0.3f, 200);
    glUniform2f(shift, 0.0f, -0.5f);
    glDrawElements(GL_TRIANGLES, 9, GL_UNSIGNED_SHORT, shorts);
    glUniform2f(shift, 0.6f, -0.5f);
    glDrawArrays(GL_TRIANGLE_FAN, 0, 6);
    glDrawArrays(GL_LINES, 5, 4);
    glGetVertexAttribPointerv(1, GL_VERTEX_ATTRIB_ARRAY_POINTER, &pointer);
    fprintf(stage.log, "pointer is %s\n", pointer == fan[0].colour ? "ours" : "wrong");

    /* All from buffers. */
    fill(0.35f, 90);
    glGenBuffers(1, &vertices);
    glGenBuffers(1, &indices);
    glGenBuffers(1, &spare);
    glBindBuffer(GL_ARRAY_BUFFER, vertices);
    glBufferData(GL_ARRAY_BUFFER, sizeof fan, NULL, GL_DYNAMIC_DRAW);
    glBufferSubData(GL_ARRAY_BUFFER, 0, sizeof fan, fan);
    glBindBuffer(GL_ELEMENT_ARRAY_BUFFER, indices);
    glBufferData(GL_ELEMENT_ARRAY_BUFFER, sizeof shorts, shorts, GL_STATIC_DRAW);
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, sizeof(Vertex), (void*)0);
    glVertexAttribPointer(1, 4, GL_UNSIGNED_BYTE, GL_TRUE, sizeof(Vertex), (void*)8);
    glUniform2f(shift, -0.6f, 0.5f);
    glDrawElements(GL_TRIANGLES, 9, GL_UNSIGNED_SHORT, (void*)0);
    glDrawElements(GL_TRIANGLES, 3, GL_UNSIGNED_SHORT, (void*)12);
    glUniform2f(shift, 0.0f, 0.5f);
    glDrawArrays(GL_TRIANGLE_FAN, 0, 9);

    /* Places from a buffer, colours from memory; indices from the buffer reach into memory. */
    fill(0.35f, 250);
    glBindBuffer(GL_ARRAY_BUFFER, 0);
    glVertexAttribPointer(1, 4, GL_UNSIGNED_BYTE, GL_TRUE, sizeof(Vertex), fan[0].colour);
    glUniform2f(shift, 0.6f, 0.5f);
    glDrawElements(GL_TRIANGLES, 9, GL_UNSIGNED_SHORT, (void*)0);

    /* A deleted buffer is unbound: what follows is memory again. */
    glBindBuffer(GL_ARRAY_BUFFER, spare);
    glDeleteBuffers(1, &spare);
    glBindBuffer(GL_ELEMENT_ARRAY_BUFFER, 0);
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, sizeof(Vertex), &fan[0].x);
    glUniform2f(shift, 0.2f, 0.0f);
    glDrawElements(GL_TRIANGLES, 6, GL_UNSIGNED_BYTE, bytes);

    /* A constant instead of an array. */
    glDisableVertexAttribArray(1);
    glVertexAttrib4f(1, 1.0f, 0.5f, 0.25f, 1.0f);
    glUniform2f(shift, -0.2f, 0.0f);
    glDrawArrays(GL_TRIANGLES, 0, 3);
    stage_frame(&stage);
    stage_close(&stage);
    return 0;
}
