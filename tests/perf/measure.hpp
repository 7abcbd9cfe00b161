/// What the measuring programs share: two pinned processes, interleaved passes, medians, ratios,
/// one report.
///
///     Report report("ring", options);
///     const int limit = report.add({"bare ring", "M/s", [&] { return …one figure…; }});
///     report.add({"vRPQ", "M/s", …, limit, 0.5});       // its ratio to the limit, and the goal
///     return report.run_and_print();
///
/// Every pass runs every variant once, so that a noisy moment hits all alike; the ratio is the
/// median of the passes' ratios. The first pass warms up and is dropped. Nothing here asserts:
/// figures are for readers.
#pragma once

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <new>
#include <string>
#include <vector>

namespace measure {

struct Options {
    bool json = false;
    bool same_core = false;
    int passes = 7;
    double scale = 1;  ///< of the number of rounds
};

inline Options parse(int count, char** words) {
    Options options;
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        if (word == "--json") {
            options.json = true;
        } else if (word == "--same-core") {
            options.same_core = true;
        } else if (word == "--passes" && i + 1 < count) {
            options.passes = std::max(1, std::atoi(words[++i]));
        } else if (word == "--scale" && i + 1 < count) {
            options.scale = std::atof(words[++i]);
        } else {
            std::fprintf(stderr, "usage: %s [--json] [--same-core] [--passes N] [--scale F]\n",
                         words[0]);
            std::exit(2);
        }
    }
    return options;
}

inline std::int64_t now() {
    struct timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

inline void pin(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(core), &set);
    ::sched_setaffinity(0, sizeof set, &set);
}

inline void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/// Spin, or give the core away when both sides share one.
inline void idle(bool same_core) {
    if (same_core) ::sched_yield();
}

/// Anonymous memory shared with children, zeroed.
class Shared {
   public:
    explicit Shared(std::size_t bytes) : bytes_(bytes) {
        void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (at == MAP_FAILED) std::abort();
        at_ = static_cast<std::byte*>(at);
    }
    ~Shared() { ::munmap(at_, bytes_); }
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;
    std::byte* data() const { return at_; }
    std::size_t size() const { return bytes_; }
    template <class T>
    T& at(std::size_t offset) const {
        return *reinterpret_cast<T*>(at_ + offset);
    }

   private:
    std::byte* at_;
    std::size_t bytes_;
};

/// Run `child` in a forked process on the second core and `parent` here on the first; both start
/// together. Returns what `parent` returns. The child dies with the parent.
template <class Parent, class Child>
double in_two_processes(const Options& options, Parent&& parent, Child&& child) {
    const Shared gate(4096);
    auto& ready = gate.at<std::atomic<std::uint32_t>>(0);
    const pid_t pid = ::fork();
    if (pid < 0) std::abort();
    if (pid == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        pin(options.same_core ? 0 : 1);
        ready.store(1);
        child();
        ::_exit(0);
    }
    pin(0);
    while (ready.load() == 0) ::sched_yield();
    const double figure = parent();
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (status != 0) std::fprintf(stderr, "a measuring child ended with status %d\n", status);
    return figure;
}

inline double percentile(std::vector<double> values, double part) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const double at = part * static_cast<double>(values.size() - 1);
    const auto low = static_cast<std::size_t>(at);
    const std::size_t high = std::min(low + 1, values.size() - 1);
    const double rest = at - static_cast<double>(low);
    return values[low] * (1 - rest) + values[high] * rest;
}

struct Variant {
    std::string name;
    std::string unit;
    std::function<double()> run;
    int limit = -1;   ///< the variant it is compared with
    double goal = 0;  ///< of the ratio; 0: none
};

class Report {
   public:
    Report(std::string name, Options options) : name_(std::move(name)), options_(options) {}
    int add(Variant variant) {
        variants_.push_back(std::move(variant));
        return static_cast<int>(variants_.size()) - 1;
    }

    /// What could not be compared with, and why.
    void absent(const std::string& what) { absent_.push_back(what); }

    int run_and_print() {
        figures_.assign(variants_.size(), {});
        for (int pass = -1; pass < options_.passes; ++pass)
            for (std::size_t i = 0; i < variants_.size(); ++i) {
                const double figure = variants_[i].run();
                if (pass >= 0) figures_[i].push_back(figure);
            }
        if (options_.json)
            print_json();
        else
            print_table();
        return 0;
    }

   private:
    static std::string first_value(const char* file, const char* key) {
        std::ifstream in(file);
        for (std::string line; std::getline(in, line);)
            if (line.starts_with(key)) return line.substr(line.find(':') + 2);
        return "?";
    }
    static std::string load() {
        std::ifstream in("/proc/loadavg");
        std::string word;
        in >> word;
        return word;
    }
    /// The figures of the passes that did not fail.
    std::vector<double> ran(std::size_t i) const {
        std::vector<double> found;
        for (const double figure : figures_[i])
            if (!std::isnan(figure)) found.push_back(figure);
        return found;
    }
    /// Whether both ran in one pass at least.
    bool compared(std::size_t i) const {
        if (variants_[i].limit < 0) return false;
        const auto& limit = figures_[static_cast<std::size_t>(variants_[i].limit)];
        for (std::size_t pass = 0; pass < figures_[i].size(); ++pass)
            if (figures_[i][pass] > 0 && limit[pass] > 0) return true;
        return false;
    }
    double ratio(std::size_t i) const {
        std::vector<double> ratios;
        const auto limit = static_cast<std::size_t>(variants_[i].limit);
        for (std::size_t pass = 0; pass < figures_[i].size(); ++pass)
            if (figures_[i][pass] > 0 && figures_[limit][pass] > 0)  // else one of them failed
                ratios.push_back(figures_[i][pass] / figures_[limit][pass]);
        return percentile(ratios, 0.5);
    }
    bool rate(std::size_t i) const { return variants_[i].unit.ends_with("/s"); }
    bool met(std::size_t i) const {
        return rate(i) ? ratio(i) >= variants_[i].goal : ratio(i) <= variants_[i].goal;
    }

    void print_table() const {
        struct utsname name{};
        ::uname(&name);
        std::printf("%s: %ld cores, %s, Linux %s, load %s, %s, %d passes after one warm-up\n",
                    name_.c_str(), ::sysconf(_SC_NPROCESSORS_ONLN),
                    first_value("/proc/cpuinfo", "model name").c_str(), name.release,
                    load().c_str(), options_.same_core ? "both sides on one core" : "one core each",
                    options_.passes);
        std::printf("%-52s %10s %21s  %-6s %s\n", "", "median", "lowest .. highest", "",
                    "ratio to");
        for (std::size_t i = 0; i < variants_.size(); ++i) {
            const auto figures = ran(i);
            if (figures.empty()) {
                std::printf("%-52s     failed\n", variants_[i].name.c_str());
                continue;
            }
            std::printf("%-52s %10.2f %10.2f..%-9.2f  %-6s", variants_[i].name.c_str(),
                        percentile(figures, 0.5), percentile(figures, 0), percentile(figures, 1),
                        variants_[i].unit.c_str());
            if (figures.size() < figures_[i].size())
                std::printf(" ran in %zu of %zu passes;", figures.size(), figures_[i].size());
            if (compared(i)) {
                std::printf(" %.2f x %s", ratio(i),
                            variants_[static_cast<std::size_t>(variants_[i].limit)].name.c_str());
                if (variants_[i].goal > 0)
                    std::printf(" (goal %s %.2f: %s)", rate(i) ? ">=" : "<=", variants_[i].goal,
                                met(i) ? "met" : "missed");
            }
            std::printf("\n");
        }
        for (const std::string& what : absent_) std::printf("absent: %s\n", what.c_str());
    }

    void print_json() const {
        struct utsname name{};
        ::uname(&name);
        std::printf(
            "{\"program\": \"%s\", \"cores\": %ld, \"model\": \"%s\", \"kernel\": \"%s\", "
            "\"load\": %s, "
            "\"same_core\": %s, \"passes\": %d, \"figures\": [",
            name_.c_str(), ::sysconf(_SC_NPROCESSORS_ONLN),
            first_value("/proc/cpuinfo", "model name").c_str(), name.release, load().c_str(),
            options_.same_core ? "true" : "false", options_.passes);
        for (std::size_t i = 0; i < variants_.size(); ++i) {
            const auto figures = ran(i);
            if (figures.empty()) {
                std::printf("%s{\"name\": \"%s\", \"failed\": true}", i == 0 ? "" : ", ",
                            variants_[i].name.c_str());
                continue;
            }
            std::printf(
                "%s{\"name\": \"%s\", \"unit\": \"%s\", \"median\": %.4g, \"lowest\": %.4g, "
                "\"highest\": %.4g",
                i == 0 ? "" : ", ", variants_[i].name.c_str(), variants_[i].unit.c_str(),
                percentile(figures, 0.5), percentile(figures, 0), percentile(figures, 1));
            if (compared(i)) {
                std::printf(", \"limit\": \"%s\", \"ratio\": %.4g",
                            variants_[static_cast<std::size_t>(variants_[i].limit)].name.c_str(),
                            ratio(i));
                if (variants_[i].goal > 0)
                    std::printf(", \"goal\": %.4g, \"met\": %s", variants_[i].goal,
                                met(i) ? "true" : "false");
            }
            std::printf("}");
        }
        std::printf("], \"absent\": [");
        for (std::size_t i = 0; i < absent_.size(); ++i)
            std::printf("%s\"%s\"", i == 0 ? "" : ", ", absent_[i].c_str());
        std::printf("]}\n");
    }

    std::string name_;
    Options options_;
    std::vector<Variant> variants_;
    std::vector<std::string> absent_;
    std::vector<std::vector<double>> figures_;
};

}  // namespace measure
