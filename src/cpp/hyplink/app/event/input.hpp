/// Input events and what is known of the device they come from, as the kernel's evdev has them.
///
/// Both travel between VMs byte for byte, so the forms are those of 64-bit programs everywhere.
/// Thread rule: values.
#pragma once

#include <linux/input.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "hyplink/base/result.hpp"
#include "hyplink/base/text.hpp"

namespace hyplink::vevent {

/// `struct input_event` of a 64-bit program.
struct InputEvent {
    std::int64_t sec = 0, usec = 0;
    std::uint16_t type = 0, code = 0;
    std::int32_t value = 0;
    bool operator==(const InputEvent&) const = default;
    bool is(std::uint16_t its_type, std::uint16_t its_code) const {
        return type == its_type && code == its_code;
    }
};
static_assert(sizeof(InputEvent) == 24);

/// The same of a 32-bit program whose seconds have 32 bits.
struct InputEvent32 {
    std::uint32_t sec = 0, usec = 0;
    std::uint16_t type = 0, code = 0;
    std::int32_t value = 0;
    InputEvent32() = default;
    explicit InputEvent32(const InputEvent& of)
        : sec(static_cast<std::uint32_t>(of.sec)),
          usec(static_cast<std::uint32_t>(of.usec)),
          type(of.type),
          code(of.code),
          value(of.value) {}
};
static_assert(sizeof(InputEvent32) == 16);

/// `struct input_absinfo`.
struct AbsInfo {
    std::int32_t value = 0, minimum = 0, maximum = 0, fuzz = 0, flat = 0, resolution = 0;
};
static_assert(sizeof(AbsInfo) == 24);

constexpr std::size_t kAxes = ABS_CNT;
constexpr std::uint16_t kTouchFirst = ABS_MT_TOUCH_MAJOR;
constexpr std::size_t kTouchCodes = ABS_MT_TOOL_Y - ABS_MT_TOUCH_MAJOR + 1;
/// Touches at a time that are followed.
constexpr std::size_t kMostTouches = 64;

/// What EVIOCGNAME, -GID, -GPROP, -GBIT, -GABS and -GREP say of a device.
struct Properties {
    std::uint16_t bustype = BUS_VIRTUAL, vendor = 0, product = 0, version = 0;
    char name[80] = {};  ///< with its NUL
    std::array<std::uint8_t, 4> props{};
    std::array<std::uint8_t, 4> types{};
    std::array<std::uint8_t, 96> keys{};
    std::array<std::uint8_t, 16> force{};
    std::array<std::uint8_t, 8> axes{};
    std::array<std::uint8_t, 4> relative{}, switches{}, misc{}, leds{}, sounds{};
    std::int32_t repeat[2] = {};  ///< delay and period, milliseconds
    AbsInfo abs[kAxes] = {};

    /// The bits of one event type as EVIOCGBIT gives them; `types` for EV_SYN. Empty: it has none.
    std::string_view bits(std::uint16_t type) const {
        const auto of = [](const auto& field, std::size_t count) {
            return std::string_view(reinterpret_cast<const char*>(field.data()), (count + 7) / 8);
        };
        switch (type) {
            case EV_SYN:
                return of(types, EV_CNT);
            case EV_KEY:
                return of(keys, KEY_CNT);
            case EV_REL:
                return of(relative, REL_CNT);
            case EV_ABS:
                return of(axes, ABS_CNT);
            case EV_MSC:
                return of(misc, MSC_CNT);
            case EV_SW:
                return of(switches, SW_CNT);
            case EV_LED:
                return of(leds, LED_CNT);
            case EV_SND:
                return of(sounds, SND_CNT);
            case EV_FF:
                return of(force, FF_CNT);
            default:
                return {};
        }
    }
    static bool bit(std::string_view bits, std::size_t number) {
        return number / 8 < bits.size() &&
               (static_cast<unsigned char>(bits[number / 8]) >> number % 8 & 1) != 0;
    }
    /// Whether the device can say this.
    bool has(std::uint16_t type, std::uint16_t code) const {
        if (type == EV_SYN) return code <= SYN_DROPPED;
        if (!bit(bits(EV_SYN), type)) return false;
        if (type == EV_REP) return code <= REP_MAX;
        return bit(bits(type), code);
    }
    /// Let the device have this. What no device can have is passed over.
    void allow(std::uint16_t type, std::uint16_t code) {
        for (const auto& [of, number] : {std::pair{std::uint16_t{EV_SYN}, type}, {type, code}}) {
            const std::string_view field = bits(of);
            if (number / 8U >= field.size()) return;
            const auto at = field.data() - reinterpret_cast<const char*>(this);
            reinterpret_cast<std::uint8_t*>(this)[at + number / 8] |=
                static_cast<std::uint8_t>(1U << number % 8);
        }
    }
    /// Touches at a time; 0 when the device does not number them.
    std::size_t touches() const {
        if (!has(EV_ABS, ABS_MT_SLOT)) return 0;
        const std::int32_t most = abs[ABS_MT_SLOT].maximum;
        return most < 0 ? 0 : static_cast<std::size_t>(most) + 1;
    }
    /// Errors: bad_argument.
    Status check() const {
        if (std::memchr(name, 0, sizeof name) == nullptr)
            return Error::make(Errc::bad_argument, "vEvent: the device's name has no end");
        if (touches() > kMostTouches)
            return Error::make(
                Errc::bad_argument,
                text("vEvent: ", touches(), " touches at a time, at most ", kMostTouches));
        return {};
    }
};
static_assert(sizeof(Properties) == 1780);
static_assert(KEY_CNT == 768 && ABS_CNT == 64 && FF_CNT == 128 && EV_CNT == 32);

/// What a back end says when it joins: what the ring is like, what the device is.
struct Hello {
    std::uint32_t magic = kMagic;
    std::uint32_t ring = 64;  ///< events, a power of two
    Properties properties;

    static constexpr std::uint32_t kMagic = 0x56454c48;  // "HLEV"
    static constexpr std::uint32_t kLeast = 8, kMost = 1 << 16;

    Status check() const {
        if (ring < kLeast || ring > kMost || (ring & (ring - 1)) != 0)
            return Error::make(Errc::bad_argument,
                               text("vEvent: a ring of ", ring,
                                    " events: expected a power of two, ", kLeast, " to ", kMost));
        return properties.check();
    }
    std::string to_words() const { return {reinterpret_cast<const char*>(this), sizeof *this}; }
    /// Errors: protocol (no such words), bad_argument.
    static Result<Hello> from_words(const std::string& words) {
        Hello hello;
        if (words.size() != sizeof hello)
            return Error::make(Errc::protocol, text("vEvent: ", words.size(), " bytes of words"));
        std::memcpy(&hello, words.data(), sizeof hello);
        if (hello.magic != kMagic)
            return Error::make(Errc::protocol, "vEvent: these are no back end's words");
        HYPLINK_TRY(hello.check());
        return hello;
    }
};

}  // namespace hyplink::vevent
