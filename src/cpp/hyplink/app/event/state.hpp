/// What a device's keys, switches, axes and touches are at a moment: what EVIOCGKEY and its like
/// answer.
///
/// It is an array of 32-bit words; a back end keeps the same array, word by word, in the port for
/// each front end. Thread rule: one thread at a time.
#pragma once

#include <vector>

#include "hyplink/app/event/input.hpp"

namespace hyplink::vevent {

class State {
   public:
    static constexpr std::size_t kKeysAt = 0, kLedsAt = 24, kSwitchesAt = 25, kSoundsAt = 26;
    static constexpr std::size_t kAxesAt = 28, kTouchesAt = kAxesAt + kAxes;
    static std::size_t words_for(const Properties& of) {
        return kTouchesAt + of.touches() * kTouchCodes;
    }

    State() : words_(kTouchesAt) {}
    /// Nothing pressed, nothing touched, the axes where they were when the device was described.
    explicit State(const Properties& of) : words_(words_for(of)), touches_(of.touches()) {
        for (std::size_t axis = 0; axis < kAxes; ++axis)
            if (axis < kTouchFirst || axis >= kTouchFirst + kTouchCodes)
                words_[kAxesAt + axis] = static_cast<std::uint32_t>(of.abs[axis].value);
        for (std::size_t touch = 0; touch < touches_; ++touch)
            words_[touch_at(touch, ABS_MT_TRACKING_ID)] = ~std::uint32_t{0};
        if (slot() >= touches_) words_[kAxesAt + ABS_MT_SLOT] = 0;
    }

    std::vector<std::uint32_t>& words() { return words_; }
    const std::vector<std::uint32_t>& words() const { return words_; }
    std::size_t touches() const { return touches_; }

    /// A key, switch, LED or sound. Other types have none that is on.
    bool on(std::uint16_t type, std::uint16_t code) const {
        const std::size_t at = bit_at(type, code);
        return at != kNowhere && (words_[at] >> code % 32 & 1) != 0;
    }
    std::int32_t axis(std::uint16_t code) const {
        return code < kAxes ? static_cast<std::int32_t>(words_[kAxesAt + code]) : 0;
    }
    std::int32_t touch(std::size_t number, std::uint16_t code) const {
        return static_cast<std::int32_t>(words_[touch_at(number, code)]);
    }
    /// The touch that ABS_MT events are about; may be one that is not followed.
    std::size_t slot() const { return words_[kAxesAt + ABS_MT_SLOT]; }
    bool touching(std::size_t number) const { return touch(number, ABS_MT_TRACKING_ID) >= 0; }
    /// Whether the state follows events like this.
    static bool holds(const InputEvent& event) {
        return bit_at(event.type, event.code) != kNowhere ||
               (event.type == EV_ABS && event.code < kAxes);
    }
    static bool is_touch(const InputEvent& event) {
        return event.type == EV_ABS && event.code >= kTouchFirst &&
               event.code < kTouchFirst + kTouchCodes;
    }

    /// Take an event in; `changed(index)` for each word it may have changed.
    template <class Changed>
    void apply(const InputEvent& event, Changed&& changed) {
        if (const std::size_t at = bit_at(event.type, event.code); at != kNowhere) {
            const std::uint32_t bit = std::uint32_t{1} << event.code % 32;
            words_[at] = event.value != 0 ? words_[at] | bit : words_[at] & ~bit;
            return changed(at);
        }
        if (event.type != EV_ABS || event.code >= kAxes) return;
        words_[kAxesAt + event.code] = static_cast<std::uint32_t>(event.value);
        changed(kAxesAt + event.code);
        if (!is_touch(event) || slot() >= touches_) return;
        const std::size_t at = touch_at(slot(), event.code);
        words_[at] = static_cast<std::uint32_t>(event.value);
        changed(at);
    }
    void apply(const InputEvent& event) {
        apply(event, [](std::size_t) {});
    }

    /// The events after which nothing is pressed and nothing touched; SYN_REPORT not included.
    std::vector<InputEvent> releases() const {
        std::vector<InputEvent> events;
        for (std::size_t touch = 0; touch < touches_; ++touch) {
            if (!touching(touch)) continue;
            events.push_back(make(EV_ABS, ABS_MT_SLOT, static_cast<std::int32_t>(touch)));
            events.push_back(make(EV_ABS, ABS_MT_TRACKING_ID, -1));
        }
        for (std::uint16_t code = 0; code < KEY_CNT; ++code)
            if (on(EV_KEY, code)) events.push_back(make(EV_KEY, code, 0));
        return events;
    }
    /// The events that bring switches, LEDs and axes from `told` to this; SYN_REPORT not included.
    /// Keys and touches that are held belong to whoever saw them begin.
    std::vector<InputEvent> news_for(const State& told) const {
        std::vector<InputEvent> events;
        for (const std::uint16_t type : {std::uint16_t{EV_SW}, std::uint16_t{EV_LED}})
            for (std::uint16_t code = 0; code < 32; ++code)
                if (on(type, code) != told.on(type, code))
                    events.push_back(make(type, code, on(type, code)));
        for (std::uint16_t code = 0; code < ABS_MT_SLOT; ++code)
            if (axis(code) != told.axis(code)) events.push_back(make(EV_ABS, code, axis(code)));
        return events;
    }

    static InputEvent make(std::uint16_t type, std::uint16_t code, std::int32_t value) {
        InputEvent event;
        event.type = type;
        event.code = code;
        event.value = value;
        return event;
    }

   private:
    static constexpr std::size_t kNowhere = ~std::size_t{0};
    static std::size_t bit_at(std::uint16_t type, std::uint16_t code) {
        if (type == EV_KEY && code < KEY_CNT) return kKeysAt + code / 32;
        if (type == EV_LED && code < LED_CNT) return kLedsAt;
        if (type == EV_SW && code < SW_CNT) return kSwitchesAt;
        if (type == EV_SND && code < SND_CNT) return kSoundsAt;
        return kNowhere;
    }
    static std::size_t touch_at(std::size_t touch, std::uint16_t code) {
        return kTouchesAt + touch * kTouchCodes + (code - kTouchFirst);
    }
    std::vector<std::uint32_t> words_;
    std::size_t touches_ = 0;
};

}  // namespace hyplink::vevent
