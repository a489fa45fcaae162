// Outcome of an operation that input or the operating system can make fail.
#pragma once

#include <string>
#include <utility>

namespace dvr {

enum class Code {
  kOk,
  kInvalid,   // the input is malformed: lengths, host bits, widths
  kUnknown,   // the input refers to something that was not defined
  kTooLarge,  // a limit is reached; nothing was allocated for it
  kState,     // the call does not fit the state (end without begin, ...)
  kCorrupt,   // stored bytes fail their checksum or make no sense
  kIo,        // the operating system refused; the message has its words
  kLocked,    // another process holds the state directory
};

// Status is a code and, unless ok, one sentence for the operator.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  [[nodiscard]] bool ok() const { return code_ == Code::kOk; }
  [[nodiscard]] Code code() const { return code_; }
  [[nodiscard]] const std::string& message() const { return message_; }

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

}  // namespace dvr
