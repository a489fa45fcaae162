// Logger: structured log lines, the form that the Go side's zap writes too. The
// stream knows only this interface; the program behind it chooses the format.
//
// Threading: implementations are safe for concurrent use. Values are plain
// text; numbers are written as such. Nothing on the path of an idle delta logs
// above kDebug.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace dvr::stream {

enum class Level : std::uint8_t { kDebug, kInfo, kWarn, kError };

struct Field {
  Field(std::string_view name_in, std::string_view value_in) : name(name_in), value(value_in) {}
  Field(std::string_view name_in, const char* value_in) : name(name_in), value(value_in) {}
  template <std::integral T>
  Field(std::string_view name_in, T value_in)
      : name(name_in), value(std::to_string(value_in)), number(true) {}

  std::string_view name;
  std::string value;
  bool number = false;  // value is written without quotes
};

class Logger {
 public:
  Logger() = default;
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;
  virtual ~Logger() = default;

  [[nodiscard]] virtual bool enabled(Level level) const = 0;
  virtual void write(Level level, std::string_view message, std::span<const Field> fields) = 0;

  void debug(std::string_view m, std::initializer_list<Field> f = {}) { log(Level::kDebug, m, f); }
  void info(std::string_view m, std::initializer_list<Field> f = {}) { log(Level::kInfo, m, f); }
  void warn(std::string_view m, std::initializer_list<Field> f = {}) { log(Level::kWarn, m, f); }
  void error(std::string_view m, std::initializer_list<Field> f = {}) { log(Level::kError, m, f); }

 private:
  void log(Level level, std::string_view message, std::initializer_list<Field> fields) {
    if (enabled(level)) write(level, message, {fields.begin(), fields.size()});
  }
};

}  // namespace dvr::stream
