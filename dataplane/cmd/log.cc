#include "cmd/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <array>
#include <chrono>
#include <iterator>

namespace dvr::cmd {
namespace {

constexpr std::array<const char*, 4> kNames{"debug", "info", "warn", "error"};
constexpr std::array<const char*, 4> kCapitals{"DEBUG", "INFO", "WARN", "ERROR"};
constexpr std::array<spdlog::level::level_enum, 4> kLevels{
    spdlog::level::debug, spdlog::level::info, spdlog::level::warn, spdlog::level::err};

std::string now_text() {
  const auto now = std::chrono::system_clock::now();
  const auto seconds = std::chrono::time_point_cast<std::chrono::seconds>(now);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now - seconds).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03d}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)), ms);
}

// Length of the UTF-8 sequence at the start of text; 0: none that is well formed.
std::size_t sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const std::size_t length = lead < 0x80                   ? 1
                             : lead >= 0xc2 && lead < 0xe0 ? 2
                             : lead >= 0xe0 && lead < 0xf0 ? 3
                             : lead >= 0xf0 && lead < 0xf5 ? 4
                                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms, surrogates and what lies beyond U+10FFFF.
  if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f) ||
      (lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f)) {
    return 0;
  }
  return length;
}

}  // namespace

void append_json(std::string& to, std::string_view text) {
  to += '"';
  while (!text.empty()) {
    const char c = text.front();
    if (c == '"' || c == '\\') {
      to += '\\';
      to += c;
      text.remove_prefix(1);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(to), "\\u{:04x}", static_cast<unsigned>(c));
      text.remove_prefix(1);
    } else if (const std::size_t length = sequence(text); length > 0) {
      to.append(text.substr(0, length));
      text.remove_prefix(length);
    } else {
      to += "\xef\xbf\xbd";
      text.remove_prefix(1);
    }
  }
  to += '"';
}

Log::Log(bool json, stream::Level level, std::shared_ptr<spdlog::sinks::sink> sink)
    : json_(json), level_(level) {
  if (sink == nullptr) sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  logger_ = std::make_unique<spdlog::logger>("dvr", std::move(sink));
  logger_->set_pattern("%v", spdlog::pattern_time_type::utc);
  logger_->set_level(kLevels[static_cast<std::size_t>(level)]);
  logger_->flush_on(spdlog::level::debug);
}

Log::~Log() = default;

void Log::write(stream::Level level, std::string_view message,
                std::span<const stream::Field> fields) {
  const auto index = static_cast<std::size_t>(level);
  std::string line;
  if (json_) {
    line = fmt::format(R"({{"level":"{}","ts":"{}","msg":)", kNames[index], now_text());
    append_json(line, message);
  } else {
    line = fmt::format("{}\t{}\t{}", now_text(), kCapitals[index], message);
    if (!fields.empty()) line += "\t{";
  }
  bool first = !json_;
  for (const stream::Field& field : fields) {
    if (!first) line += json_ ? "," : ", ";
    first = false;
    append_json(line, field.name);
    line += json_ ? ":" : ": ";
    if (field.number) {
      line += field.value;
    } else {
      append_json(line, field.value);
    }
  }
  if (json_ || !fields.empty()) line += '}';
  logger_->log(kLevels[index], spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace dvr::cmd
