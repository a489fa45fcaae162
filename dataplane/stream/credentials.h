// Credentials: what this data plane shows to controllers, and whom it believes.
//
// The files are read again every few seconds, so that a renewed certificate is
// shown at the next connection without a restart. A controller must be of the
// authority, have the name or address that was dialled, be a node
// (dvr://node/<id> among its names), and not be revoked. The list of what was
// revoked is read at each connection; where it cannot be read nobody is
// believed, and the data plane goes on with the table it has.
//
// Certificates are those of docs/decisions/0021; TLS 1.3 is what controllers speak.
#pragma once

#include <grpcpp/security/credentials.h>

#include <memory>
#include <string>

#include "lib/status.h"

namespace dvr::stream {

struct TlsFiles {
  std::string ca;    // PEM: authorities
  std::string cert;  // PEM: of the router
  std::string key;   // PEM: of cert
  std::string crl;   // DER; empty: nothing was revoked

  [[nodiscard]] bool none() const {
    return ca.empty() && cert.empty() && key.empty() && crl.empty();
  }
};

// Checks the files and makes credentials of them: the certificate must be that
// of the router, dvr://dataplane/<router>. Without files: clear text.
Status open_credentials(const TlsFiles& files, const std::string& router,
                        std::shared_ptr<grpc::ChannelCredentials>* credentials);

}  // namespace dvr::stream
