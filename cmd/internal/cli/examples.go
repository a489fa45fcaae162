package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// examples of verbs that have none beside their code, by path without "dvr".
var examples = map[string]string{
	"node":    "dvr node\nNODE_ID=node-4 API_ADDR=:9094 RAFT_ADDR=127.0.0.1:8304 JOIN=127.0.0.1:9091 dvr node",
	"launch":  "dvr launch --data-planes\ndvr launch --tls --data-planes --data-dir ./data/secure\ndvr launch --nodes 5 --data-dir /tmp/five --listen :8081 --api-base 9500 --raft-base 8410",
	"sim":     "dvr sim isp:1000\ndvr sim grid:1024",
	"status":  "dvr status\ndvr status --endpoint 192.0.2.1 -o json",
	"version": "dvr version",
	"ready":   "dvr ready --timeout 60s\ndvr ready --endpoint 192.0.2.1 --cacert ca.crt",
	"lookup":  "dvr lookup 10.1.2.3\ndvr lookup 10.1.2.3 --router r1 --source dataplane",

	"blame": "dvr blame 10.1.0.0/16\ndvr blame 10.1.0.0/16 --limit 5 --at 4700",

	"route add":    "dvr route add 10.1.0.0/16 192.168.1.1 --metric 100\ndvr route add 10.1.0.0/16 192.168.1.2 --router r1 --weight 2 --wait installed\ndvr route add 10.9.0.0/16 --type blackhole --reason attack --expires-in 2h",
	"route set":    "dvr route set 10.1.0.0/16 192.168.1.1 --metric 10",
	"route delete": "dvr route delete 10.1.0.0/16\ndvr route delete 10.1.0.0/16 --next-hop 192.168.1.2 --dry-run",
	"route get":    "dvr route get 10.1.0.0/16\ndvr route get 10.1.0.0/16 --router r1 --at 2026-11-22T03:00:00Z",
	"route list":   "dvr route list --router r1 --limit 20\ndvr route list --covering 10.1.2.3",
	"route lookup": "dvr route lookup 10.1.2.3 --router r1\ndvr route lookup 10.1.2.3 --router r1 --source dataplane",
	"route import": "dvr route import routes.ndjson.zst\ndvr route export | dvr route import - --endpoint 192.0.2.1",
	"route export": "dvr route export > routes.ndjson\ndvr route export --at 4700 --within 10.0.0.0/8",

	"router set":     "dvr router set r1 --description edge --tag core\ndvr router set r1 --probe 5s --probe 192.0.2.1=500ms",
	"router delete":  "dvr router delete r9",
	"router undrain": "dvr router undrain r1",
	"router get":     "dvr router get r1",
	"router list":    "dvr router list",
	"router rib":     "dvr router rib r1 --after 10.0.0.0/8 --limit 20",
	"router fib":     "dvr router fib r1 --limit 20\ndvr router fib r1 --at 4700",
	"vector":         "dvr vector r1 --limit 20",

	"link set":    "dvr link set r1 r2 --cost 10 --address-a 10.0.0.1 --address-b 10.0.0.2\ndvr link set r1 r2 --name spare --cost 10 --cost-ba 30 --down",
	"link delete": "dvr link delete r1 r2 --name spare",
	"link get":    "dvr link get r1 r2",
	"link list":   "dvr link list",
	"link down":   "dvr link down r1 r2 --dry-run\ndvr link down r1 r2 --wait installed --reason maintenance",
	"link up":     "dvr link up r1 r2",

	"topology show":   "dvr topology show\ndvr topology show r1 r2 --at 2026-11-22T03:00:00Z",
	"topology import": "dvr topology import topology.ndjson --replace --dry-run\ndvr topology import edge.ndjson --replace --scope tag:edge --confirm-within 5m",
	"topology export": "dvr topology export -f topology.ndjson\ndvr topology export --at 4700 | dvr topology import - --replace --dry-run",

	"kv put":     "dvr kv put site/name core1\ndvr kv put site/motd < motd.txt",
	"kv get":     "dvr kv get site/name\ndvr kv get site/name --at 4700",
	"kv delete":  "dvr kv delete site/name",
	"kv list":    "dvr kv list --prefix site/",
	"kv history": "dvr kv history site/name",
	"kv watch":   "dvr kv watch --prefix site/",

	"log list":   "dvr log list\ndvr log list --after 4700 --limit 20",
	"log show":   "dvr log show 4711\ndvr log show 4711 --all | grep 10.1.0.0/16",
	"log follow": "dvr log follow",
	"log verify": "dvr log verify",
	"log repair": "dvr log repair --etcd 127.0.0.1:2379",

	"commit":        "dvr commit change.json --dry-run\ndvr commit - --reason 'second uplink' < change.json",
	"confirm":       "dvr confirm\ndvr confirm 4711",
	"guard set":     "dvr guard set core protected --prefix 10.0.0.0/8\ndvr guard set shrink max_shrink --percent 20 --above 1000",
	"guard list":    "dvr guard list",
	"guard remove":  "dvr guard remove core",
	"freeze set":    "dvr freeze set holidays --all --until 2027-01-02T06:00:00Z",
	"freeze list":   "dvr freeze list",
	"freeze remove": "dvr freeze remove holidays",
	"timer list":    "dvr timer list",
	"timer cancel":  "dvr timer cancel t-4711",

	"cluster members":         "dvr cluster members",
	"cluster status":          "dvr cluster status",
	"cluster add":             "dvr cluster add node-4 --raft 127.0.0.1:8304 --api 127.0.0.1:9094",
	"cluster promote":         "dvr cluster promote node-4",
	"cluster remove":          "dvr cluster remove node-4",
	"cluster transfer-leader": "dvr cluster transfer-leader node-2",
	"cluster recover":         "dvr cluster recover --data-dir ./data/node2",

	"dataplane list":     "dvr dataplane list",
	"dataplane show":     "dvr dataplane show\ndvr dataplane show --at 127.0.0.1:9291",
	"dataplane audit":    "dvr dataplane audit --router r1",
	"dataplane counters": "dvr dataplane counters",
}

// exemplify gives examples to the verbs that have none.
func exemplify(cmd *cobra.Command) {
	_, path, _ := strings.Cut(cmd.CommandPath(), " ")
	if text := examples[path]; cmd.Example == "" && text != "" {
		cmd.Example = "  " + strings.ReplaceAll(text, "\n", "\n  ")
	}
	for _, child := range cmd.Commands() {
		exemplify(child)
	}
}
