// Saved: what the stream keeps over restarts beside the FIB: the controllers'
// addresses, what they configured, the inverses of unconfirmed commits, and what was undone without
// a controller, as blobs of the state directory.
//
// A blob that is absent, damaged or not understood counts as empty: each can be
// had again from a controller or is but news, and a data plane that refused to start over it
// would forward nothing. Without a directory nothing is kept and every save
// succeeds. Saving is handed to the directory's thread, in order with the deltas;
// what fails there is told by StateDirectory::error(). Threading: the Fib's writer.
#pragma once

#include <string>
#include <vector>

#include "fib.pb.h"
#include "lib/checkpoint.h"
#include "lib/status.h"

namespace dvr::stream {

class Saved {
 public:
  // directory may be null; it must outlive this.
  explicit Saved(StateDirectory* directory) : directory_(directory) {}

  [[nodiscard]] std::vector<std::string> load_controllers() const;
  Status save_controllers(const std::vector<std::string>& addresses);

  [[nodiscard]] dvr::fib::v1::Config load_config() const;
  Status save_config(const dvr::fib::v1::Config& config);

  // deadline_ms of each is this machine's wall clock's.
  [[nodiscard]] std::vector<dvr::fib::v1::Unconfirmed> load_unconfirmed() const;
  Status save_unconfirmed(const std::vector<const dvr::fib::v1::Unconfirmed*>& pending);

  // Reports of kind undone.
  [[nodiscard]] std::vector<dvr::fib::v1::Observation> load_undone() const;
  Status save_undone(const std::vector<const dvr::fib::v1::Observation*>& reports);

 private:
  StateDirectory* directory_;
};

}  // namespace dvr::stream
