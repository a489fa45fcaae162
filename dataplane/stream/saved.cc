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
constexpr const char* kConfig = "config";
constexpr const char* kUnconfirmed = "unconfirmed";
constexpr const char* kUndone = "undone";

// A blob of messages, each behind its length.
template <typename Message>
std::vector<Message> load_list(StateDirectory* directory, const char* name) {
  std::vector<Message> list;
  if (directory == nullptr) return list;
  const auto blob = directory->load_blob(name);
  if (!blob) return list;
  io::ArrayInputStream bytes(blob->data(), static_cast<int>(blob->size()));
  io::CodedInputStream input(&bytes);
  for (;;) {
    Message message;
    bool clean_end = false;
    if (!util::ParseDelimitedFromCodedStream(&message, &input, &clean_end)) {
      return clean_end ? list : std::vector<Message>{};
    }
    list.push_back(std::move(message));
  }
}

template <typename Message>
Status save_list(StateDirectory* directory, const char* name,
                 const std::vector<const Message*>& list) {
  if (directory == nullptr) return {};
  std::string blob;
  {
    io::StringOutputStream output(&blob);
    for (const Message* message : list) util::SerializeDelimitedToZeroCopyStream(*message, &output);
  }
  return directory->save_blob_later(name, std::move(blob));
}

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

pb::Config Saved::load_config() const {
  pb::Config message;
  if (directory_ == nullptr) return {};
  const auto blob = directory_->load_blob(kConfig);
  if (!blob || !message.ParseFromString(*blob)) return {};
  return message;
}

Status Saved::save_config(const pb::Config& config) {
  if (directory_ == nullptr) return {};
  return directory_->save_blob_later(kConfig, config.SerializeAsString());
}

std::vector<pb::Unconfirmed> Saved::load_unconfirmed() const {
  return load_list<pb::Unconfirmed>(directory_, kUnconfirmed);
}

Status Saved::save_unconfirmed(const std::vector<const pb::Unconfirmed*>& pending) {
  return save_list(directory_, kUnconfirmed, pending);
}

std::vector<pb::Observation> Saved::load_undone() const {
  auto reports = load_list<pb::Observation>(directory_, kUndone);
  std::erase_if(reports, [](const pb::Observation& o) { return !o.has_undone(); });
  return reports;
}

Status Saved::save_undone(const std::vector<const pb::Observation*>& reports) {
  return save_list(directory_, kUndone, reports);
}

}  // namespace dvr::stream
