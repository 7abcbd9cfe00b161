"""Every code of the compiler: what it means, a text that gets it and one that does not.

A snippet without ``idl 1;`` gets a head, one that begins with a procedure an interface around it.
"""

from __future__ import annotations

__all__ = ["EXPLANATIONS", "whole_text"]

_HEAD = "idl 1;\nmodule example.snippet version 1.0;\n"
_INSIDE = ("async ", "sync ", "callback ", "state ", "reserved ")


def whole_text(snippet: str) -> str:
    """The file that a snippet stands for."""
    if snippet.startswith(_INSIDE):
        lines = "".join(f"    {line}\n" for line in snippet.split("\n"))
        snippet = f"interface Example group 1 {{\n{lines}}}"
    return snippet if snippet.startswith(("idl", "module")) else _HEAD + snippet + "\n"


#: code -> (what is wrong, why it is a rule, a bad snippet, a good snippet)
EXPLANATIONS: dict[int, tuple[str, str, str, str]] = {
    1: (
        "A character that the language does not have.",
        "Names are ASCII letters, digits and underscores, because they become names in C.",
        "const u32 COST = $5;",
        "const u32 COST = 5;",
    ),
    2: (
        "A comment that never ends.",
        "'/*' takes everything up to '*/', so the rest of the file is missing.",
        "const u32 A = 1; /* until here",
        "const u32 A = 1; /* until here */",
    ),
    3: (
        "A text that never ends.",
        "A text in quotes ends on its line.",
        '@deprecated("use paint\n)\ninterface Example group 1 { async draw() = 1; }',
        '@deprecated("use paint"\n)\ninterface Example group 1 { async draw() = 1; }',
    ),
    4: (
        "A malformed number.",
        "Numbers are decimal or 0x…, with K, M or G for powers of 1024; octal has no spelling.",
        "const u32 MODE = 0755;",
        "const u32 MODE = 0x1ED;",
    ),
    5: (
        "A name that begins with an underscore.",
        "The generated code uses such names for itself, so the two can never meet.",
        "async draw(u32 _count) = 1;",
        "async draw(u32 count) = 1;",
    ),
    10: (
        "Something else was expected here.",
        "The message says after what, and the caret where.",
        "async draw() = 1",
        "async draw() = 1;",
    ),
    11: (
        "A bracket that is not closed.",
        "The note shows where it was opened.",
        "async draw(u32 count, bytes data[count max 4K) = 1;",
        "async draw(u32 count, bytes data[count] max 4K) = 1;",
    ),
    12: (
        "The file does not say which language it is written in.",
        "A later compiler must know what this text meant.",
        "module example.snippet version 1.0;",
        "idl 1;\nmodule example.snippet version 1.0;",
    ),
    13: (
        "A version of the language that this compiler does not know.",
        "Reading it anyway could give another wire format than its writer meant.",
        "idl 2;\nmodule example.snippet version 1.0;",
        "idl 1;\nmodule example.snippet version 1.0;",
    ),
    14: (
        "The file does not name its module.",
        "The name tells types of different files apart; the version is what peers compare.",
        "idl 1;\nconst u32 A = 1;",
        "idl 1;\nmodule example.snippet version 1.0;\nconst u32 A = 1;",
    ),
    15: (
        "No declaration begins like this.",
        "A file holds imports, constants, types, size functions and interfaces.",
        "structure Point { i32 x; }",
        "struct Point { i32 x; }",
    ),
    16: (
        "A procedure outside an interface.",
        "The interface gives it its group number.",
        "interface A group 1 { }\nasync draw() = 1;",
        "interface A group 1 { async draw() = 1; }",
    ),
    17: (
        "A construct that this version of the language does not have.",
        "The word is kept for later; a type cannot be declared with it.",
        "union Either { u32 a; f32 b; }",
        "struct Both { u32 a; f32 b; }",
    ),
    18: (
        "A procedure does not say whether its caller waits.",
        "That is the first thing a reader wants to know, so there is no default.",
        "interface A group 1 { void draw() = 1; }",
        "interface A group 1 { async void draw() = 1; }",
    ),
    19: (
        "An expression is too deep or too long.",
        "Neither this compiler nor those of the generated code may run out of stack or time.",
        "const u32 A = " + "(" * 40 + "1" + ")" * 40 + ";",
        "const u32 A = 1;",
    ),
    20: (
        "A type that nobody declared.",
        "C's own types are not here on purpose: their sizes differ from machine to machine.",
        "async draw(int count) = 1;",
        "async draw(i32 count) = 1;",
    ),
    21: (
        "Two things with one name.",
        "The note shows the first one.",
        "async draw(u32 a, u32 a) = 1;",
        "async draw(u32 a, u32 b) = 1;",
    ),
    22: (
        "Two procedures with one ordinal.",
        "The ordinal is what travels; the server could not tell them apart.",
        "async draw() = 1;\nasync clear() = 1;",
        "async draw() = 1;\nasync clear() = 2;",
    ),
    23: (
        "An ordinal that is reserved.",
        "It belonged to a procedure that is gone; old clients may still send it. Callbacks have "
        "ordinals of their own: 'reserved callback 2;'.",
        "reserved 1..3;\nasync draw() = 2;",
        "reserved 1..3;\nasync draw() = 4;",
    ),
    24: (
        "An ordinal that does not fit 16 bits.",
        "Group and ordinal share the 32 bits of a procedure number.",
        "async draw() = 65536;",
        "async draw() = 65535;",
    ),
    25: (
        "Two interfaces with one group number.",
        "The group number is what travels.",
        "interface A group 1 { }\ninterface B group 1 { }",
        "interface A group 1 { }\ninterface B group 2 { }",
    ),
    26: (
        "A group number that does not fit 16 bits.",
        "Group and ordinal share the 32 bits of a procedure number; 0 is nobody's.",
        "interface A group 0 { }",
        "interface A group 1 { }",
    ),
    27: (
        "A file cannot be read.",
        "Imports are looked for next to the file that imports them.",
        'import "nowhere.vidl" as other;',
        "const u32 A = 1;",
    ),
    28: (
        "Files that import each other.",
        "Sizes of one would depend on sizes of the other, and back.",
        'import "bad.vidl" as self;',
        "const u32 A = 1;",
    ),
    29: (
        "A type of an import that does not exist.",
        "The word in front of the dot is the name behind 'as'.",
        "async draw(shapes.Point at) = 1;",
        "struct Point { i32 x; }\ninterface A group 1 { async draw(Point at) = 1; }",
    ),
    30: (
        "An enumerator does not fit the enum's base.",
        "The base is what travels.",
        "enum Level : u8 { HIGH = 256; }",
        "enum Level : u16 { HIGH = 256; }",
    ),
    31: (
        "Two enumerators with one value.",
        "A value read from the wire must have one name.",
        "enum Level : u8 { LOW = 1; HIGH = 1; }",
        "enum Level : u8 { LOW = 1; HIGH = 2; }",
    ),
    32: (
        "An enum without values.",
        "No value could ever be accepted.",
        "enum Level : u8 { }",
        "enum Level : u8 { LOW = 1; }",
    ),
    33: (
        "A base that is no integer of fixed size.",
        "Enums travel as their base.",
        "enum Level : f32 { LOW = 1; }",
        "enum Level : u8 { LOW = 1; }",
    ),
    34: (
        "A struct inside itself.",
        "It would have no size. Lists travel as arrays with indices.",
        "struct Node { u32 value; Node next; }",
        "struct Node { u32 value; u32 next_index; }",
    ),
    35: (
        "A struct or table without members.",
        "C and C++ disagree about its size.",
        "struct Nothing { }",
        "struct Something { u8 tag; }",
    ),
    36: (
        "A member whose size varies.",
        "Structs and tables have a fixed layout; what varies is a parameter.",
        "struct Name { string text; }",
        "struct Name { char text[16]; }",
    ),
    37: (
        "A constant of a type that has none.",
        "Constants are numbers.",
        "const string NAME = 1;",
        "const u32 NAME = 1;",
    ),
    38: (
        "A constant does not fit its type.",
        "It would be another number in the generated code.",
        "const u8 A = 256;",
        "const u16 A = 256;",
    ),
    39: (
        "A name meets another one in the generated code.",
        "Python spells procedures in small letters, so two names can become one.",
        "async drawAll() = 1;\nasync draw_all() = 2;",
        "async drawAll() = 1;\nasync draw_each() = 2;",
    ),
    40: (
        "An unknown name in an expression.",
        "Expressions name inputs of their procedure, 'state.x' and constants.",
        "async draw(u32 count, bytes data[cuont] max 4K) = 1;",
        "async draw(u32 count, bytes data[count] max 4K) = 1;",
    ),
    41: (
        "Something that is no integer, or may be absent, in an expression.",
        "Lengths are computed with integers on both sides.",
        "async draw(f32 count, bytes data[count] max 4K) = 1;",
        "async draw(u32 count, bytes data[count] max 4K) = 1;",
    ),
    42: (
        "An expression that can leave 64 bits.",
        "A wrapped length is how checks are passed and memory is overrun. Declared ranges prove that "
        "it cannot happen.",
        "async draw(u64 a, u64 b, bytes data[a * b] max 4K) = 1;",
        "async draw(u64 a in 0..64, u64 b in 0..64, bytes data[a * b] max 4K) = 1;",
    ),
    43: (
        "A division whose right side can be 0.",
        "A range or a test in front of it rules that out.",
        "async draw(u32 n, bytes data[100 / n] max 100) = 1;",
        "async draw(u32 n, bytes data[n == 0 ? 0 : 100 / n] max 100) = 1;",
    ),
    44: (
        "A division whose left side can be negative.",
        "Languages round it differently, so both sides would not agree.",
        "async draw(i32 n, bytes data[n / 2] max 100) = 1;",
        "async draw(i32 n in 0..200, bytes data[n / 2] max 100) = 1;",
    ),
    45: (
        "A parameter where a constant is needed.",
        "Limits are known before anything is received.",
        "async draw(u32 n, bytes data[n] max n) = 1;",
        "async draw(u32 n, bytes data[n] max 64) = 1;",
    ),
    46: (
        "An unknown function.",
        "There are min, max, roundup and those declared with 'sizefn'.",
        "async draw(u32 n, bytes data[align(n, 4)] max 4K) = 1;",
        "async draw(u32 n, bytes data[roundup(n, 4)] max 4K) = 1;",
    ),
    47: (
        "A function gets too many or too few values.",
        "Every parameter needs one.",
        "async draw(u32 n, bytes data[roundup(n)] max 4K) = 1;",
        "async draw(u32 n, bytes data[roundup(n, 4)] max 4K) = 1;",
    ),
    48: (
        "A length that is always refused.",
        "No request with it could be accepted.",
        "async draw(u32 n in 100..200, bytes data[n] max 64) = 1;",
        "async draw(u32 n in 1..64, bytes data[n] max 64) = 1;",
    ),
    49: (
        "A length that depends on an output.",
        "It is computed before the answer exists. Sizes that the server decides are '[reply]', or "
        "'[cap c, len n]'.",
        "sync get(out u32 n, out bytes data[n] max 64) = 1;",
        "sync get(u32 room in 0..64, out bytes data[cap room, len n], out u32 n) = 1;",
    ),
    50: (
        "Something that varies in size has no 'max'.",
        "A receiver refuses what is larger before it allocates. Where declared ranges keep an array "
        "below 64 KiB, they are the maximum.",
        "async draw(u32 n, f32 data[n]) = 1;",
        "async draw(u32 n in 0..256, f32 data[n]) = 1;",
    ),
    51: (
        "A 'max' that says nothing.",
        "Numbers have ranges: 'in LOW..HIGH'.",
        "async draw(u32 n max 64) = 1;",
        "async draw(u32 n in 0..64) = 1;",
    ),
    52: (
        "A maximum of nothing, or of more than can travel.",
        "A part has at most 2 GiB.",
        "async draw(string text max 0) = 1;",
        "async draw(string text max 64) = 1;",
    ),
    53: (
        "A range on something that is no single integer.",
        "Ranges are checked number by number.",
        "async draw(f32 n in 0..64) = 1;",
        "async draw(i32 n in 0..64) = 1;",
    ),
    54: (
        "A range that is empty or outside the type.",
        "No value could ever be accepted, or the bound does nothing.",
        "async draw(u8 n in 0..300) = 1;",
        "async draw(u8 n in 0..255) = 1;",
    ),
    55: (
        "An asynchronous procedure with an answer.",
        "Nobody waits for it.",
        "async u32 count() = 1;",
        "sync u32 count() = 1;",
    ),
    56: (
        "A large part does not say whether the receiver copies it.",
        "Received data lies in memory that the sender can still write. What is parsed or used as an "
        "index is copied first; pixels need not be.",
        "async draw(u32 n, bytes data[n] max 1M) = 1;",
        "async draw(u32 n, bytes data[n] max 1M @zero_copy) = 1;",
    ),
    57: (
        "Something that is checked cannot be used in place.",
        "The sender could change it between the check and the use.",
        "async draw(string text max 1K @zero_copy) = 1;",
        "async draw(string text max 1K) = 1;",
    ),
    58: (
        "A block that is too large.",
        "Offsets in a block have 32 bits.",
        "async draw(u32 n, bytes a[n] max 2G @copy, bytes b[n] max 2G @copy) = 1;",
        "async draw(u32 n, bytes a[n] max 1M @copy, bytes b[n] max 1M @copy) = 1;",
    ),
    59: (
        "Something of constant size is too large for the fixed part.",
        "The fixed part is copied to the receiver's stack.",
        "async draw(u32 table_[4096]) = 1;",
        "async draw(u32 table_[4096] max 4096 @copy) = 1;",
    ),
    60: (
        "An unknown attribute.",
        "A misspelt attribute would silently do nothing.",
        "async draw() = 1 @notfiy(now);",
        "async draw() = 1 @notify(now);",
    ),
    61: (
        "Attributes with wrong arguments, or that exclude each other.",
        "The hint shows the form.",
        "async draw() = 1 @notify(later);",
        "async draw() = 1 @notify(now);",
    ),
    62: (
        "An attribute in a place where it says nothing.",
        "The hint says where it belongs.",
        "async draw(u32 n @notify(now)) = 1;",
        "async draw(u32 n) = 1 @notify(now);",
    ),
    63: (
        "'on_lost' does not fit the result.",
        "It is what the C face returns when the server has died.",
        "sync u8 get() = 1 on_lost -1;",
        "sync i8 get() = 1 on_lost -1;",
    ),
    64: (
        "A length where none can be, or none where one must be.",
        "A string carries its own; bytes and characters are arrays.",
        "async draw(bytes data) = 1;",
        "async draw(u32 n, bytes data[n] max 64) = 1;",
    ),
    65: (
        "A direction that this parameter cannot have.",
        "Buffers and callbacks only go in; what is 'inout' is always there.",
        "sync swap(inout u32 n?) = 1;",
        "sync swap(inout u32 n) = 1;",
    ),
    66: (
        "A type's name that begins with a small letter.",
        "Small words may be keywords, now or later.",
        "struct point { i32 x; }",
        "struct Point { i32 x; }",
    ),
    67: (
        "Something that cannot be a result.",
        "Arrays are 'out' parameters; 'void' is nothing else.",
        "sync bytes get() = 1;",
        "sync void get(out bytes data[reply] max 64) = 1;",
    ),
    68: (
        "An attribute is given twice.",
        "Which one should count?",
        "async draw() = 1 @notify(now) @notify(now);",
        "async draw() = 1 @notify(now);",
    ),
    69: (
        "An array of arrays without a running index.",
        "The index says which element of another array an inner length is.",
        "async draw(u32 n in 0..8, char names[n][16] max 128) = 1;",
        "async draw(u32 n in 0..8, char names[i < n][16] max 128) = 1;",
    ),
    70: (
        "'nul' or 'null' in the wrong place.",
        "Only the sender can scan for a zero or look at a pointer, so both belong into lengths of "
        "'in' arrays, and only what has a '?' can be null.",
        "sync get(out u8 data[nul] max 64) = 1;",
        "sync get(out u8 data[reply] max 64) = 1;",
    ),
    71: (
        "An element of an array in the wrong place.",
        "Expressions have no loops: an element is read at the running index of an array of arrays.",
        "async draw(u32 n in 0..8, u32 lens[n], bytes data[lens[i]] max 64) = 1;",
        "async draw(u32 n in 0..8, u32 lens[n], bytes data[i < n][lens[i]] max 64) = 1;",
    ),
    72: (
        "A size function gets a value of another enum.",
        "Two enums in the wrong order would otherwise pass.",
        "enum Format : u8 { RGB = 1; }\nsizefn u32 texel(Format f) = match (f) { (RGB) => 3; };\n"
        "interface A group 1 { async draw(u32 f, bytes data[texel(f)]) = 1; }",
        "enum Format : u8 { RGB = 1; }\nsizefn u32 texel(Format f) = match (f) { (RGB) => 3; };\n"
        "interface A group 1 { async draw(Format f, bytes data[texel(f)]) = 1; }",
    ),
    73: (
        "A match whose arms do not fit.",
        "Every arm has one pattern for each value; '_' fits anything.",
        "sizefn u32 f(u32 a, u32 b) = match (a, b) { (1) => 2; };",
        "sizefn u32 f(u32 a, u32 b) = match (a, b) { (1, _) => 2; };",
    ),
    74: (
        "A callback uses or sets 'state'.",
        "Both sides change state with each request, in one order; callbacks travel beside them.",
        "state { u32 size = 4; }\ncallback async note(bytes data[state.size]) = 1;",
        "callback async note(u32 size in 0..64, bytes data[size]) = 1;",
    ),
    75: (
        "A buffer without 'gives' or 'lends', or those without a buffer.",
        "The prototype says who may touch the memory afterwards.",
        "umem Frame server(write) max 1M;\ninterface A group 1 { async fill(Frame f) = 1; }",
        "umem Frame server(write) max 1M;\ninterface A group 1 { async fill(gives Frame f) = 1; }",
    ),
    76: (
        "A list that cannot end with this value.",
        "'until' compares integers, every 'step' elements.",
        "async draw(f32 list[until 0] max 64) = 1;",
        "async draw(u32 list[until 0] max 64) = 1;",
    ),
    77: (
        "An implied parameter, or a number of arrays, that one side cannot know.",
        "What is implied does not travel: the server rebuilds it from one part.",
        "async draw(u32 n implied) = 1;",
        "async draw(u32 n implied, u32 list[n] max 64) = 1;",
    ),
    78: (
        "A dimension for the other direction.",
        "'reply' and 'cap' are about answers and what they count goes out; 'until' and arrays of "
        "arrays go in.",
        "async draw(u32 list[reply] max 64) = 1;",
        "sync draw(out u32 list[reply] max 64) = 1;",
    ),
    79: (
        "State can leave its range.",
        "Lengths rely on the range.",
        "state { u32 n = 1 in 1..8; }\nasync set(u32 to) = 1 sets state.n = to;",
        "state { u32 n = 1 in 1..8; }\nasync set(u32 to in 1..8) = 1 sets state.n = to;",
    ),
    80: (
        "A handle that cannot be.",
        "Handles travel as u32; the parent is a handle, and not itself.",
        "handle Shader : u64;",
        "handle Shader : u32;",
    ),
    81: (
        "A buffer that nobody may use.",
        "The rights are what the mapping on each side allows.",
        "umem Frame max 1M;",
        "umem Frame client(read) server(write) max 1M;",
    ),
    82: (
        "A member that needs more than its bytes.",
        "Handles are looked up, buffers change hands, tables grow: these are parameters.",
        "handle Shader : u32;\nstruct Draw { Shader with; }",
        "handle Shader : u32;\ninterface A group 1 { async draw(Shader with) = 1; }",
    ),
    83: (
        "A table whose fields do not fit together.",
        "Fields are numbered in order; a reader takes the default of those that an older sender "
        "does not have, so they are the last ones.",
        "table Options { 1: u32 width = 1; 2: u32 height; }",
        "table Options { 1: u32 width; 2: u32 height = 1; }",
    ),
    84: (
        "A size function that calls itself.",
        "Every evaluation ends after a known number of steps.",
        "sizefn u32 f(u32 n) = n == 0 ? 0 : f(n - 1);",
        "sizefn u32 f(u32 n) = n;",
    ),
    85: (
        "A type that size functions and state cannot have.",
        "They compute with integers and enums.",
        "sizefn u32 f(f32 x) = 1;",
        "sizefn u32 f(u32 x) = 1;",
    ),
    86: (
        "'throws' names something that is no set of failures.",
        "A failure travels as 16 bits in the answer's status; 0 is success.",
        "enum Status : i32 { OK = 0; FAR = 65536; }\n"
        "interface A group 1 { sync u32 get() = 1 throws Status; }",
        "enum Status : i32 { OK = 0; FAR = 6; }\n"
        "interface A group 1 { sync u32 get() = 1 throws Status; }",
    ),
    87: (
        "'creates' or 'destroys' without its handle.",
        "The stub makes the one and removes the other.",
        "sync u32 open() = 1 creates;",
        "handle File : u32;\ninterface A group 1 { sync File open() = 1 creates; }",
    ),
    88: (
        "A policy for another kind of callback.",
        "Synchronous ones are waited for, asynchronous ones may be dropped.",
        "callback async note() = 1 timeout 20ms;",
        "callback sync note() = 1 timeout 20ms;",
    ),
    89: (
        "An answer that cannot be remembered.",
        "A procedure that changes something must run each time.",
        "async draw() = 1 @cacheable;",
        "sync u32 limit() = 1 @cacheable;",
    ),
    90: (
        "'since' names a version later than the module's.",
        "Peers would be promised something that the version they agree on does not have.",
        "async draw() = 1 since 1.1;",
        "async draw() = 1 since 1.0;",
    ),
    91: (
        "A callback that may be dropped gives a buffer away.",
        "The buffer would be nobody's when it is dropped.",
        "umem F server(write) max 1M;\n"
        "interface A group 1 { callback async frame(gives F f) = 1 @drop_newest; }",
        "umem F server(write) max 1M;\ninterface A group 1 { callback async frame(gives F f) = 1; }",
    ),
}
