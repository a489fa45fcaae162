#include "stream/saved.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/delimited_message_util.h>

namespace dvr::stream {
namespace {

namespace pb = ::dvr::fib::v1;
namespace io = ::google::protobuf::io;
namespace util = ::google::protobuf::util;

constexpr const char* kControllers = "controllers";
constexpr const char* kUnconfirmed = "unconfirmed";

}  // namespace

std::vector<std::string> Saved::load_controllers() const {
  pb::Controllers message;
  if (directory_ == nullptr) return {};
  const auto blob = directory_->load_blob(kControllers);
  if (!blob || !message.ParseFromString(*blob)) return {};
  return {message.addresses().begin(), message.addresses().end()};
}

Status Saved::save_controllers(const std::vector<std::string>& addresses) {
  if (directory_ == nullptr) return {};
  pb::Controllers message;
  message.mutable_addresses()->Assign(addresses.begin(), addresses.end());
  return directory_->save_blob_later(kControllers, message.SerializeAsString());
}

std::vector<pb::Unconfirmed> Saved::load_unconfirmed() const {
  std::vector<pb::Unconfirmed> pending;
  if (directory_ == nullptr) return pending;
  const auto blob = directory_->load_blob(kUnconfirmed);
  if (!blob) return pending;
  io::ArrayInputStream bytes(blob->data(), static_cast<int>(blob->size()));
  io::CodedInputStream input(&bytes);
  for (;;) {
    pb::Unconfirmed message;
    bool clean_end = false;
    if (!util::ParseDelimitedFromCodedStream(&message, &input, &clean_end)) {
      return clean_end ? pending : std::vector<pb::Unconfirmed>{};
    }
    pending.push_back(std::move(message));
  }
}

Status Saved::save_unconfirmed(const std::vector<const pb::Unconfirmed*>& pending) {
  if (directory_ == nullptr) return {};
  std::string blob;
  {
    io::StringOutputStream output(&blob);
    for (const pb::Unconfirmed* message : pending) {
      util::SerializeDelimitedToZeroCopyStream(*message, &output);
    }
  }
  return directory_->save_blob_later(kUnconfirmed, std::move(blob));
}

}  // namespace dvr::stream
