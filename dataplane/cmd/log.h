// Log: the data plane's log lines on standard error, written by spdlog in the two
// forms of the controllers' zap, so that one collector reads both.
//
//   json
//   {"level":"info","ts":"2026-11-21T22:29:21.123Z","msg":"connected","controller":"127.0.0.1:9190"}
//   console  2026-11-21T22:29:21.123Z  INFO  connected  {"controller": "127.0.0.1:9190"}
//
// Threading: safe for concurrent use. Every line is flushed.
#pragma once

#include <memory>
#include <string>

#include "stream/logger.h"

namespace spdlog {
class logger;
namespace sinks {
class sink;
}
}  // namespace spdlog

namespace dvr::cmd {

class Log final : public stream::Logger {
 public:
  // Writes lines at or above level to sink; standard error where it is null.
  Log(bool json, stream::Level level, std::shared_ptr<spdlog::sinks::sink> sink = nullptr);
  ~Log() override;

  [[nodiscard]] bool enabled(stream::Level level) const override { return level >= level_; }
  void write(stream::Level level, std::string_view message,
             std::span<const stream::Field> fields) override;

 private:
  bool json_;
  stream::Level level_;
  std::unique_ptr<spdlog::logger> logger_;
};

// Appends text as a JSON string, quotes included. Bytes that are not UTF-8
// become U+FFFD.
void append_json(std::string& to, std::string_view text);

}  // namespace dvr::cmd
