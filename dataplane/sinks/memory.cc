#include "sinks/sink.h"

namespace dvr {

SinkReport MemorySink::report() const {
  SinkReport r;
  r.installed = fib_.installed_digest();
  r.entries = fib_.installed_entries();
  return r;
}

}  // namespace dvr
