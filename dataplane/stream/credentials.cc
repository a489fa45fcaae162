#include "stream/credentials.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string_view>
#include <vector>

namespace dvr::stream {
namespace {

constexpr unsigned kRefreshSeconds = 5;
constexpr std::string_view kScheme = "dvr:";

template <class T, void (*release)(T*)>
struct Release {
  void operator()(T* pointer) const { release(pointer); }
};
using Bio = std::unique_ptr<BIO, Release<BIO, BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Release<X509, X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Release<EVP_PKEY, EVP_PKEY_free>>;
using RevocationList = std::unique_ptr<X509_CRL, Release<X509_CRL, X509_CRL_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Release<GENERAL_NAMES, GENERAL_NAMES_free>>;

std::optional<std::string> content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

Bio reader(std::string_view bytes) {
  return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

Certificate parse_certificate(std::string_view pem) {
  const Bio bio = reader(pem);
  return Certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

std::vector<Certificate> parse_certificates(std::string_view pem) {
  const Bio bio = reader(pem);
  std::vector<Certificate> all;
  while (X509* const one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    all.emplace_back(one);
  }
  return all;
}

// The one URI dvr:… of a certificate; nothing where it has none or several.
std::optional<std::string> identity(const std::vector<std::string>& uris) {
  std::optional<std::string> found;
  for (const std::string& uri : uris) {
    if (!uri.starts_with(kScheme)) continue;
    if (found) return std::nullopt;
    found = uri;
  }
  return found;
}

std::vector<std::string> uris_of(X509* certificate) {
  std::vector<std::string> uris;
  const Names names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (!names) return uris;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* const text = name->d.uniformResourceIdentifier;
    uris.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                      static_cast<std::size_t>(ASN1_STRING_length(text)));
  }
  return uris;
}

// The list in the file, if one of the authorities signed it.
RevocationList read_crl(const TlsFiles& files, std::string* wrong) {
  const auto bytes = content(files.crl);
  const auto authorities = content(files.ca);
  if (!bytes || !authorities) {
    *wrong = "cannot read " + (bytes ? files.ca : files.crl);
    return nullptr;
  }
  const auto* at = reinterpret_cast<const unsigned char*>(bytes->data());
  RevocationList list(d2i_X509_CRL(nullptr, &at, static_cast<long>(bytes->size())));
  if (!list) {
    *wrong = files.crl + " is no list of revoked certificates in DER";
    return nullptr;
  }
  for (const Certificate& authority : parse_certificates(*authorities)) {
    EVP_PKEY* const key = X509_get0_pubkey(authority.get());
    if (key != nullptr && X509_CRL_verify(list.get(), key) == 1) return list;
  }
  *wrong = files.crl + " was not signed by an authority in " + files.ca;
  return nullptr;
}

// Judges the certificate of a controller, which TLS has found to be of the authority.
class NodeVerifier final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  explicit NodeVerifier(TlsFiles files) : files_(std::move(files)) {}

  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)> /*callback*/, grpc::Status* status) override {
    *status = judge(request);
    return true;
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest* /*request*/) override {}

 private:
  grpc::Status judge(grpc::experimental::TlsCustomVerificationCheckRequest* request) {
    const auto refuse = [](const std::string& why) {
      return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, why);
    };
    grpc::Status name;
    host_.Verify(request, [](const grpc::Status&) {}, &name);  // it answers at once
    if (!name.ok()) return refuse("the controller's certificate does not name the host dialled");
    std::vector<std::string> uris;
    for (const grpc::string_ref& uri : request->uri_names()) {
      uris.emplace_back(uri.data(), uri.size());
    }
    const std::optional<std::string> who = identity(uris);
    if (!who || !who->starts_with("dvr://node/")) {
      return refuse("what answers is no node: its certificate is of " + who.value_or("nobody"));
    }
    if (files_.crl.empty()) return grpc::Status::OK;
    std::string wrong;
    const RevocationList list = read_crl(files_, &wrong);
    if (!list) return refuse(wrong);
    const grpc::string_ref pem = request->peer_cert();
    const Certificate certificate = parse_certificate({pem.data(), pem.size()});
    X509_REVOKED* entry = nullptr;
    if (!certificate || X509_CRL_get0_by_serial(list.get(), &entry,
                                                X509_get_serialNumber(certificate.get())) != 0) {
      return refuse("the certificate of " + *who + " was revoked");
    }
    return grpc::Status::OK;
  }

  const TlsFiles files_;
  grpc::experimental::HostNameCertificateVerifier host_;
};

// What of the files cannot be used; empty: nothing.
std::string fault(const TlsFiles& files, const std::string& router) {
  const auto authorities = content(files.ca);
  const auto certificate_text = content(files.cert);
  const auto key_text = content(files.key);
  if (!authorities) return "cannot read " + files.ca;
  if (!certificate_text) return "cannot read " + files.cert;
  if (!key_text) return "cannot read " + files.key;
  if (parse_certificates(*authorities).empty()) return files.ca + " holds no certificate in PEM";
  const Certificate certificate = parse_certificate(*certificate_text);
  if (!certificate) return files.cert + " holds no certificate in PEM";
  const Bio bio = reader(*key_text);
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (!key || X509_check_private_key(certificate.get(), key.get()) != 1) {
    return files.key + " is not the private key of " + files.cert;
  }
  const std::string want = "dvr://dataplane/" + router;
  const std::optional<std::string> who = identity(uris_of(certificate.get()));
  if (who != want) {
    return files.cert + " is of " + who.value_or("nobody") + ", and this is " + want +
           ": dvr cert issue dataplane " + router;
  }
  std::string wrong;
  if (!files.crl.empty()) read_crl(files, &wrong);
  return wrong;
}

}  // namespace

Status open_credentials(const TlsFiles& files, const std::string& router,
                        std::shared_ptr<grpc::ChannelCredentials>* credentials) {
  if (files.none()) {
    *credentials = grpc::InsecureChannelCredentials();
    return {};
  }
  if (std::string wrong = fault(files, router); !wrong.empty()) {
    return {Code::kInvalid, std::move(wrong)};
  }
  namespace tls = grpc::experimental;
  tls::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(std::make_shared<tls::FileWatcherCertificateProvider>(
      files.key, files.cert, files.ca, kRefreshSeconds));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_verify_server_certs(true);
  options.set_certificate_verifier(tls::ExternalCertificateVerifier::Create<NodeVerifier>(files));
  options.set_check_call_host(false);  // the verifier has done it
  *credentials = tls::TlsCredentials(options);
  return {};
}

}  // namespace dvr::stream
