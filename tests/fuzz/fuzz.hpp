/// One fuzz target per file: what it does with bytes that somebody else chose.
///
///     #include "fuzz.hpp"
///
///     void fuzz::one(fuzz::Input& input) {
///         auto value = input.number();
///         FUZZ_CHECK(half(value) <= value);
///     }
///
/// The file is the whole program. Built by clang with HYPLINK_FUZZ it is a libFuzzer program; built
/// by any compiler it has a main that runs the files of its corpus and pseudo-random mutations of
/// them, the same ones every time:
///
///     fuzz_rpq_port [--corpus DIR] [--seconds S] [--rounds N] [--seed N] [--only N] [FILE…]
///
/// A failure names its round; `--only` runs that one alone. Exit status: 0 nothing found, 2 usage;
/// a finding aborts.
///
/// Thread rule: one thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fuzz {

/// The bytes of one run, taken from the front. When they are used up everything reads as zero.
class Input {
   public:
    explicit Input(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

    bool empty() const { return bytes_.empty(); }
    std::size_t left() const { return bytes_.size(); }
    std::uint8_t byte() {
        if (bytes_.empty()) return 0;
        const std::uint8_t value = bytes_.front();
        bytes_ = bytes_.subspan(1);
        return value;
    }
    template <class T>
    T raw() {
        T value{};
        const std::size_t size = std::min(sizeof value, bytes_.size());
        if (size != 0) std::memcpy(&value, bytes_.data(), size);
        bytes_ = bytes_.subspan(size);
        return value;
    }
    std::uint32_t below(std::uint32_t limit) { return raw<std::uint16_t>() % limit; }
    /// A number that is often near something that matters.
    std::uint32_t number() {
        static constexpr std::uint32_t kSpecial[] = {
            0,          1,          2,          7,          8,          16,         24,     480,
            481,        1023,       1024,       1025,       4096,       0x7fffffff, 65536,  128,
            0x80000000, 0xfffffff8, 0xffffffff, 0xfffffff0, 0xffff0000, 64,         0xffff, 512};
        const std::uint8_t how = byte();
        if (how < 128) return how;
        if (how < 152) return kSpecial[how - 128];
        if (how < 200) return raw<std::uint16_t>();
        return raw<std::uint32_t>();
    }
    std::uint64_t wide() { return std::uint64_t{number()} << 32 | number(); }
    std::span<const std::uint8_t> take(std::size_t count) {
        const auto part = bytes_.first(std::min(count, bytes_.size()));
        bytes_ = bytes_.subspan(part.size());
        return part;
    }
    std::span<const std::uint8_t> rest() { return take(bytes_.size()); }
    std::string text(std::size_t most) {
        const auto part = take(std::min<std::size_t>(byte(), most));
        return {part.begin(), part.end()};
    }

   private:
    std::span<const std::uint8_t> bytes_;
};

/// The target: every file defines it.
void one(Input& input);

[[noreturn]] inline void found(const char* what, const char* file, int line) {
    std::fprintf(stderr, "%s:%d: FUZZ_CHECK(%s)\n", file, line, what);
    std::abort();
}

inline volatile std::uint64_t sink = 0;
/// Read every byte, so that a span that leaves its object is noticed.
inline std::uint64_t touch(std::span<const std::byte> bytes) {
    std::uint64_t sum = 0;
    for (const std::byte b : bytes) sum = sum * 31 + static_cast<std::uint8_t>(b);
    sink = sum;
    return sum;
}
inline std::uint64_t touch(std::string_view text) {
    return touch(std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace fuzz

/// True, or the run ends here.
#define FUZZ_CHECK(...) \
    (static_cast<bool>(__VA_ARGS__) ? void() : ::fuzz::found(#__VA_ARGS__, __FILE__, __LINE__))

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(std::span(data, size));
    fuzz::one(input);
    return 0;
}

#ifndef HYPLINK_LIBFUZZER

// Present when a sanitizer is: it ends the program without a signal.
extern "C" [[gnu::weak]] void __sanitizer_set_death_callback(void (*callback)());

namespace fuzz {

using Bytes = std::vector<std::uint8_t>;

struct Options {
    std::string corpus;
    double seconds = 0;
    std::uint64_t rounds = 20000;
    std::uint64_t seed = 1;
    std::uint64_t only = 0;
    std::vector<std::string> files;
};

inline char last_words[200] = "while starting\n";
inline void say_last_words() { std::fputs(last_words, stderr); }
inline void on_signal(int number) {
    say_last_words();
    std::signal(number, SIG_DFL);
    std::raise(number);
}

inline Bytes read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return Bytes(std::istreambuf_iterator<char>(file), {});
}

/// One of the seeds, or nothing, changed in a few places.
inline Bytes mutant(const std::vector<Bytes>& seeds, std::uint64_t seed, std::uint64_t round) {
    std::seed_seq mixed{seed, round};
    std::mt19937 random(mixed);
    auto below = [&](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
    auto any = [&] { return static_cast<std::uint8_t>(random()); };
    Bytes bytes;
    if (!seeds.empty() && random() % 8 != 0) bytes = seeds[below(seeds.size())];
    for (std::size_t times = 1 + below(12); times > 0; --times) {
        const auto at = bytes.begin() + static_cast<std::ptrdiff_t>(below(bytes.size() + 1));
        switch (random() % 8) {
            case 0: {
                Bytes more(1 + below(32));
                std::generate(more.begin(), more.end(), any);
                bytes.insert(at, more.begin(), more.end());
                break;
            }
            case 1:
                bytes.erase(at,
                            std::min(bytes.end(), at + std::min<std::ptrdiff_t>(
                                                           static_cast<std::ptrdiff_t>(below(16)),
                                                           bytes.end() - at)));
                break;
            case 2:
                if (!seeds.empty()) {  // a piece of another one
                    const Bytes& other = seeds[below(seeds.size())];
                    const std::size_t from = below(other.size() + 1);
                    const std::size_t count = below(other.size() - from + 1);
                    bytes.insert(at, other.begin() + static_cast<std::ptrdiff_t>(from),
                                 other.begin() + static_cast<std::ptrdiff_t>(from + count));
                }
                break;
            case 3:
                if (at != bytes.end()) *at ^= static_cast<std::uint8_t>(1U << below(8));
                break;
            case 4:
                if (at != bytes.end())
                    *at = static_cast<std::uint8_t>(random() % 2 == 0 ? 0xff : 0);
                break;
            default:
                if (at != bytes.end()) *at = any();
                break;
        }
        if (bytes.size() > 4096) bytes.resize(4096);
    }
    return bytes;
}

inline int main(int count, char** words) {
    Options options;
    for (int at = 1; at < count; ++at) {
        const std::string_view word = words[at];
        const bool more = at + 1 < count;
        if (word == "--corpus" && more) {
            options.corpus = words[++at];
        } else if (word == "--seconds" && more) {
            options.seconds = std::strtod(words[++at], nullptr);
        } else if (word == "--rounds" && more) {
            options.rounds = std::strtoull(words[++at], nullptr, 0);
        } else if (word == "--seed" && more) {
            options.seed = std::strtoull(words[++at], nullptr, 0);
        } else if (word == "--only" && more) {
            options.only = std::strtoull(words[++at], nullptr, 0);
        } else if (!word.starts_with("-")) {
            options.files.emplace_back(word);
        } else {
            std::fprintf(stderr,
                         "usage: %s [--corpus DIR] [--seconds S] [--rounds N] [--seed N] [--only N]"
                         " [FILE...]\n",
                         words[0]);
            return 2;
        }
    }
    for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL})
        if (std::signal(number, on_signal) != SIG_DFL && &__sanitizer_set_death_callback != nullptr)
            continue;
    if (&__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(say_last_words);

    auto run = [](const Bytes& bytes) { LLVMFuzzerTestOneInput(bytes.data(), bytes.size()); };
    std::vector<Bytes> seeds;
    std::vector<std::filesystem::path> paths(options.files.begin(), options.files.end());
    if (!options.corpus.empty()) {
        for (const auto& entry : std::filesystem::directory_iterator(options.corpus))
            if (entry.is_regular_file()) paths.push_back(entry.path());
        std::sort(paths.begin(), paths.end());  // the order of a directory is nobody's
    }
    for (const auto& path : paths) {
        seeds.push_back(read_file(path));
        if (options.only != 0) continue;
        std::snprintf(last_words, sizeof last_words, "in file %.150s\n", path.c_str());
        run(seeds.back());
    }
    std::uint64_t round = 0;
    if (options.files.empty()) {
        using Clock = std::chrono::steady_clock;
        const auto start = Clock::now();
        auto over = [&] {
            if (options.seconds <= 0) return round >= options.rounds;
            return std::chrono::duration<double>(Clock::now() - start).count() >= options.seconds;
        };
        while (options.only == 0 && !over()) {
            ++round;
            std::snprintf(last_words, sizeof last_words,
                          "in round %llu: again with --seed %llu --only %llu and the same corpus\n",
                          static_cast<unsigned long long>(round),
                          static_cast<unsigned long long>(options.seed),
                          static_cast<unsigned long long>(round));
            run(mutant(seeds, options.seed, round));
        }
        if (options.only != 0) run(mutant(seeds, options.seed, options.only));
    }
    std::printf("%zu files, %llu mutants, nothing found\n", seeds.size(),
                static_cast<unsigned long long>(round));
    return 0;
}

}  // namespace fuzz

int main(int count, char** words) { return fuzz::main(count, words); }

#endif  // HYPLINK_LIBFUZZER
