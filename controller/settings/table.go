package settings

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// definition is one setting: its names, default and the two directions between text and field.
type definition struct {
	name  string // environment name
	value string // default
	usage string
	flag  bool // a boolean: the flag needs no value
	set   func(*Settings, string) error
	get   func(*Settings) string
}

func (d *definition) flagName() string { return strings.ReplaceAll(strings.ToLower(d.name), "_", "-") }
func (d *definition) fileKey() string  { return strings.ToLower(d.name) }

// table is in the order of the documentation.
var table = []*definition{
	{name: "NODE_ID", value: "node-1", usage: "name of this node in the cluster",
		set: func(s *Settings, v string) error { s.NodeID = v; return checkNodeID(v) },
		get: func(s *Settings) string { return s.NodeID }},
	text("DATA_DIR", "./data", "directory that holds the node's data", func(s *Settings) *string { return &s.DataDir }),
	text("RAFT_ADDR", "127.0.0.1:8300", "listen address for the embedded etcd's peers", func(s *Settings) *string { return &s.Raft.Listen }),
	text("RAFT_ADVERTISE", "", "address that peers dial (default: RAFT_ADDR)", func(s *Settings) *string { return &s.Raft.Advertise }),
	text("API_ADDR", ":9090", "listen address of the HTTP API", func(s *Settings) *string { return &s.API.Listen }),
	text("API_ADVERTISE", "", "address of the HTTP API that others are told (default: API_ADDR)", func(s *Settings) *string { return &s.API.Advertise }),
	text("FIB_ADDR", "", "listen address of the gRPC service for data planes (default: API port + 100)", func(s *Settings) *string { return &s.FIB.Listen }),
	text("FIB_ADVERTISE", "", "address that data planes are told (default: FIB_ADDR)", func(s *Settings) *string { return &s.FIB.Advertise }),
	text("CLIENT_ADDR", "", "listen address of the embedded etcd's client service (default: port 2379 + RAFT port - 8300)", func(s *Settings) *string { return &s.Client.Listen }),
	text("CLIENT_ADVERTISE", "", "address that etcd clients are told (default: CLIENT_ADDR)", func(s *Settings) *string { return &s.Client.Advertise }),
	text("ADMIN_ADDR", "", "listen address, on loopback, for profiles (pprof) and the level and sampling of the logs while the node runs (default: none)", func(s *Settings) *string { return &s.Admin }),
	{name: "ETCD_ENDPOINTS", usage: "external etcd instead of the embedded one, comma separated; https:// before each: in TLS",
		set: func(s *Settings, v string) (err error) { s.EtcdEndpoints, err = endpoints(v); return },
		get: func(s *Settings) string { return strings.Join(s.EtcdEndpoints, ",") }},
	text("ETCD_CA_FILE", "", "certificates of the authorities that an external etcd in TLS is trusted by (default: the system's)", func(s *Settings) *string { return &s.EtcdTLS.CA }),
	text("ETCD_CERT_FILE", "", "certificate to show to an external etcd in TLS (default: none)", func(s *Settings) *string { return &s.EtcdTLS.Cert }),
	text("ETCD_KEY_FILE", "", "its private key", func(s *Settings) *string { return &s.EtcdTLS.Key }),
	boolean("ETCD_WRITABLE", "let etcd clients write, past every check", func(s *Settings) *bool { return &s.EtcdWritable }),
	size("ETCD_QUOTA", "8GiB", "largest size of the embedded etcd's database, 64MiB to 64GiB", 64<<20, 64<<30, func(s *Settings) *int64 { return &s.EtcdQuota }),
	{name: "INITIAL_CLUSTER", usage: "first members of a new cluster with their Raft addresses: node-1=127.0.0.1:8301,node-2=…",
		set: func(s *Settings, v string) (err error) { s.InitialCluster, err = initialCluster(v); return },
		get: func(s *Settings) string { return FormatMembers(s.InitialCluster) }},
	{name: "JOIN", usage: "API addresses of members of the cluster to join, comma separated",
		set: func(s *Settings, v string) (err error) { s.Join, err = joinAddresses(v); return },
		get: func(s *Settings) string { return strings.Join(s.Join, ",") }},
	boolean("OBSERVER", "with JOIN: follow the log and forward writes, without a vote", func(s *Settings) *bool { return &s.Observer }),
	{name: "CLUSTER_ID", usage: "id of the cluster that the data directory must belong to: blank data are refused",
		set: func(s *Settings, v string) (err error) { s.ClusterID, err = clusterID(v); return },
		get: func(s *Settings) string { return s.ClusterID }},
	{name: "JOIN_TOKEN", usage: "with JOIN, where authorization is in force: the token that `dvr auth join-token` made",
		set: func(s *Settings, v string) error { s.JoinToken = v; return nil },
		get: func(s *Settings) string { return hidden(s.JoinToken) }},
	size("KV_QUOTA", "64MiB", "what keys and values of the key-value store may take together", 64<<10, 1<<30, func(s *Settings) *int64 { return &s.KVQuota }),
	text("ARCHIVE_DIR", "", "directory that history is archived in before the log is truncated, and read from then on (default: none: it is gone)", func(s *Settings) *string { return &s.ArchiveDir }),
	text("BACKUP_DIR", "", "directory that this node puts backups in by itself, each checked (default: none are made)", func(s *Settings) *string { return &s.BackupDir }),
	duration("BACKUP_INTERVAL", "24h", "with BACKUP_DIR: how often", time.Minute, 31*24*time.Hour, func(s *Settings) *time.Duration { return &s.BackupInterval }),
	number("BACKUP_KEEP", "14", "with BACKUP_DIR: how many of them are kept, the newest", 1, 10_000, func(s *Settings) *int64 { return &s.BackupKeep }),
	number("RATE_LIMIT", "0", "calls a second that each authenticated actor may make at this node, each commit of an import one of them; 0: any", 0, 1<<31, func(s *Settings) *int64 { return &s.RateLimit }),
	number("STRANGER_LIMIT", "10", "refusals a second that callers whom nobody knows are given at this node, of each source address beyond loopback, before they are turned away unheard; 0: any", 0, 1<<20, func(s *Settings) *int64 { return &s.StrangerLimit }),
	{name: "STRANGER_EXEMPT", usage: "addresses and prefixes that STRANGER_LIMIT does not count, such as a proxy's, comma separated; loopback never is",
		set: func(s *Settings, v string) (err error) { s.StrangerExempt, err = prefixes(v); return },
		get: func(s *Settings) string { return joined(s.StrangerExempt) }},
	{name: "OIDC_ISSUER", usage: "URL of the identity provider whose JWTs are credentials",
		set: func(s *Settings, v string) error { s.OIDC.Issuer = v; return issuer(v) },
		get: func(s *Settings) string { return s.OIDC.Issuer }},
	text("OIDC_AUDIENCE", "", "with OIDC_ISSUER: the audience that JWTs must be for", func(s *Settings) *string { return &s.OIDC.Audience }),
	text("OIDC_ACTOR_CLAIM", "sub", "claim that names the actor, oidc:<value>", func(s *Settings) *string { return &s.OIDC.ActorClaim }),
	text("OIDC_GROUPS_CLAIM", "groups", "claim that lists the groups, group:<value>", func(s *Settings) *string { return &s.OIDC.GroupsClaim }),
	boolean("HOLD_LEVEL", "do not raise the log's level when every node supports the next, so that the older program can still be put back", func(s *Settings) *bool { return &s.HoldLevel }),
	choice("LOG_FORMAT", "console", "form of the logs", []string{"console", "json"}, func(s *Settings) *string { return &s.LogFormat }),
	choice("LOG_LEVEL", "info", "least level that is logged", []string{"debug", "info", "warn", "error"}, func(s *Settings) *string { return &s.LogLevel }),
	number("LOG_SAMPLE", "0", "of the log lines with one level and text within a second so many are written, then every 100th; 0: all", 0, 1<<20, func(s *Settings) *int64 { return &s.LogSample }),
	{name: "TRACE_ENDPOINT", usage: "collector that traces of changes are sent to by OTLP, grpc://host:port or http://host:port, grpcs and https in TLS (default: none, tracing is off)",
		set: func(s *Settings, v string) error {
			s.Trace.Endpoint = v
			return collector(v)
		},
		get: func(s *Settings) string { return s.Trace.Endpoint }},
	{name: "TRACE_RATIO", value: "1", usage: "with TRACE_ENDPOINT: the part of the changes that are traced, 0 to 1, beside those that come with a traceparent",
		set: func(s *Settings, v string) (err error) {
			if s.Trace.Ratio, err = strconv.ParseFloat(v, 64); err != nil || !(s.Trace.Ratio >= 0 && s.Trace.Ratio <= 1) {
				return fmt.Errorf("%q is not a number from 0 to 1", v)
			}
			return nil
		},
		get: func(s *Settings) string { return strconv.FormatFloat(s.Trace.Ratio, 'g', -1, 64) }},
	size("MEMORY_LIMIT", "0", "soft limit of the node's heap (GOMEMLIMIT); 0: three quarters of the machine's memory", 0, 1<<50, func(s *Settings) *int64 { return &s.MemoryLimit }),
	text("CA_FILE", "", "certificates of the authorities that are trusted; with it, CERT_FILE and KEY_FILE all ports and calls are in TLS", func(s *Settings) *string { return &s.TLS.CA }),
	text("CERT_FILE", "", "this node's certificate", func(s *Settings) *string { return &s.TLS.Cert }),
	text("KEY_FILE", "", "its private key", func(s *Settings) *string { return &s.TLS.Key }),
	text("CRL_FILE", "", "certificates that were revoked (DER)", func(s *Settings) *string { return &s.TLS.CRL }),
	boolean("INSECURE", "listen, and reach an external etcd, beyond loopback without TLS and authentication", func(s *Settings) *bool { return &s.Insecure }),
}

func text(name, value, usage string, field func(*Settings) *string) *definition {
	return &definition{name: name, value: value, usage: usage,
		set: func(s *Settings, v string) error { *field(s) = v; return nil },
		get: func(s *Settings) string { return *field(s) }}
}

// hidden stands for a secret that is set.
func hidden(v string) string {
	if v == "" {
		return ""
	}
	return "(hidden)"
}

// issuer checks the URL of an identity provider: its keys decide who may do
// what, so they come over TLS, or from this machine.
func issuer(v string) error {
	if v == "" {
		return nil
	}
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("%q is not a URL such as https://login.example.org/realm", v)
	}
	if host := u.Hostname(); u.Scheme != "https" && (u.Scheme != "http" || host != "localhost" && host != "127.0.0.1" && host != "::1") {
		return fmt.Errorf("%q: https:// is needed beyond loopback", v)
	}
	return nil
}

// collector checks the address of a collector of traces.
func collector(v string) error {
	if v == "" {
		return nil
	}
	u, err := url.Parse(v)
	if err == nil && u.Hostname() != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		switch u.Scheme {
		case "grpc", "grpcs":
			if u.Path == "" && u.Port() != "" {
				return nil
			}
		case "http", "https":
			return nil
		}
	}
	return fmt.Errorf("%q is not the address of a collector such as grpc://127.0.0.1:4317 or http://127.0.0.1:4318", v)
}

func number(name, value, usage string, least, most int64, field func(*Settings) *int64) *definition {
	return &definition{name: name, value: value, usage: usage,
		set: func(s *Settings, v string) error {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < least || n > most {
				return fmt.Errorf("%q is not a whole number from %d to %d", v, least, most)
			}
			*field(s) = n
			return nil
		},
		get: func(s *Settings) string { return strconv.FormatInt(*field(s), 10) }}
}

func duration(name, value, usage string, least, most time.Duration, field func(*Settings) *time.Duration) *definition {
	return &definition{name: name, value: value, usage: usage,
		set: func(s *Settings, v string) error {
			d, err := time.ParseDuration(v)
			if err != nil || d < least || d > most {
				return fmt.Errorf("%q is not a time from %s to %s, such as 90m or 24h", v, least, most)
			}
			*field(s) = d
			return nil
		},
		get: func(s *Settings) string { return field(s).String() }}
}

func boolean(name, usage string, field func(*Settings) *bool) *definition {
	return &definition{name: name, value: "false", usage: usage, flag: true,
		set: func(s *Settings, v string) error {
			b, err := strconv.ParseBool(v)
			if err != nil {
				return fmt.Errorf("%q is neither true nor false", v)
			}
			*field(s) = b
			return nil
		},
		get: func(s *Settings) string { return strconv.FormatBool(*field(s)) }}
}

func choice(name, value, usage string, of []string, field func(*Settings) *string) *definition {
	return &definition{name: name, value: value, usage: usage + ": " + strings.Join(of, ", "),
		set: func(s *Settings, v string) error {
			for _, o := range of {
				if v == o {
					*field(s) = v
					return nil
				}
			}
			return fmt.Errorf("%q is not one of %s", v, strings.Join(of, ", "))
		},
		get: func(s *Settings) string { return *field(s) }}
}

func size(name, value, usage string, least, most int64, field func(*Settings) *int64) *definition {
	return &definition{name: name, value: value, usage: usage,
		set: func(s *Settings, v string) error {
			n, err := ParseSize(v)
			if err != nil {
				return err
			}
			if n < least || n > most {
				return fmt.Errorf("%s is not between %s and %s", v, FormatSize(least), FormatSize(most))
			}
			*field(s) = n
			return nil
		},
		get: func(s *Settings) string { return FormatSize(*field(s)) }}
}

var units = []struct {
	suffix string
	factor int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

// ParseSize reads a number of bytes with an optional binary unit: 2GiB, 512MiB, 1048576.
func ParseSize(v string) (int64, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(v, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.factor {
			break
		}
		return n * u.factor, nil
	}
	return 0, fmt.Errorf("%q is not a size such as 2GiB, 512MiB or 1048576", v)
}

// FormatSize writes n in the largest unit that divides it.
func FormatSize(n int64) string {
	for _, u := range units {
		if n != 0 && u.factor > 1 && n%u.factor == 0 {
			return strconv.FormatInt(n/u.factor, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}

// nodeID is what an etcd member name, a file name and a host label have in common.
var nodeID = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,62})$`)

func checkNodeID(v string) error {
	if !nodeID.MatchString(v) {
		return fmt.Errorf("%q is not a node id: a letter or digit, then up to 62 letters, digits, dots, dashes or underscores", v)
	}
	return nil
}

// prefixes reads addresses and prefixes with commas between them.
func prefixes(v string) ([]netip.Prefix, error) {
	if v == "" {
		return nil, nil
	}
	var out []netip.Prefix
	for e := range strings.SplitSeq(v, ",") {
		e = strings.TrimSpace(e)
		p, err := netip.ParsePrefix(e)
		if a, no := netip.ParseAddr(e); no == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a prefix such as 192.0.2.0/24", e)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func joined(list []netip.Prefix) string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.String()
	}
	return strings.Join(out, ",")
}

// secureScheme begins an endpoint of an external etcd in TLS.
const secureScheme = "https://"

// EtcdSecure reports whether an external etcd is spoken to in TLS.
func (s *Settings) EtcdSecure() bool {
	return len(s.EtcdEndpoints) > 0 && strings.HasPrefix(s.EtcdEndpoints[0], secureScheme)
}

func endpoints(v string) ([]string, error) {
	if v == "" {
		return nil, nil
	}
	var out []string
	for e := range strings.SplitSeq(v, ",") {
		e = strings.TrimSpace(e)
		host, secure := strings.CutPrefix(e, secureScheme)
		if !secure {
			host = strings.TrimPrefix(e, "http://")
		}
		if name, _, err := splitHostPort(host, 1); err != nil {
			return nil, err
		} else if secure && name == "" {
			return nil, fmt.Errorf("%q: a host is needed: the certificate names it", e)
		}
		if secure {
			host = secureScheme + host
		}
		if len(out) > 0 && secure != strings.HasPrefix(out[0], secureScheme) {
			return nil, fmt.Errorf("%q: all endpoints must be in TLS (https://), or none", e)
		}
		out = append(out, host)
	}
	return out, nil
}
