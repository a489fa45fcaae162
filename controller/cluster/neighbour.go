package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Addresses of a node as others dial them, host:port.
type Addresses struct {
	API    string `json:"api"`
	Raft   string `json:"raft"`
	FIB    string `json:"fib"`
	Client string `json:"client"`
}

// handshake is what a blank node says of itself on its Raft address before etcd has it.
type handshake struct {
	Format         int       `json:"format"`
	NodeID         string    `json:"node_id"`
	Blank          bool      `json:"blank"`
	InitialCluster string    `json:"initial_cluster"`
	Nonce          string    `json:"nonce"`
	Ready          string    `json:"ready,omitempty"` // the token on which all agree, as this node knows
	ClusterID      string    `json:"cluster_id,omitempty"`
	Addresses      Addresses `json:"addresses"`
}

const (
	handshakePath = "/dvr/handshake"
	membersPath   = "/members" // etcd's, on the same port once it runs
	clusterHeader = "X-Etcd-Cluster-ID"
	maxAnswer     = 1 << 20
)

// sighting is what answers on a Raft address: a blank node, or a member of a cluster.
type sighting struct {
	blank   *handshake
	cluster uint64
}

var errStranger = errors.New("what answers there is no DVR node")

// newHTTPClient is for small questions to other nodes: no connection is kept,
// since the port changes its owner.
func newHTTPClient(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext:       (&net.Dialer{Timeout: timeout}).DialContext,
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// look asks what answers on a Raft address.
func look(ctx context.Context, client *http.Client, address string) (sighting, error) {
	status, _, raw, err := get(ctx, client, "http://"+address+handshakePath)
	if err != nil {
		return sighting{}, err
	}
	if status == http.StatusOK {
		h := new(handshake)
		if err := json.Unmarshal(raw, h); err != nil || h.Format != identityFormat {
			return sighting{}, errStranger
		}
		return sighting{blank: h}, nil
	}
	id, err := clusterAt(ctx, client, address)
	return sighting{cluster: id}, err
}

// clusterAt asks the etcd behind a Raft address for its cluster.
func clusterAt(ctx context.Context, client *http.Client, address string) (uint64, error) {
	status, header, _, err := get(ctx, client, "http://"+address+membersPath)
	if err != nil {
		return 0, err
	}
	id, err := strconv.ParseUint(header.Get(clusterHeader), 16, 64)
	if status != http.StatusOK || err != nil {
		return 0, errStranger
	}
	return id, nil
}

// listed asks the etcd behind a Raft address whether a member is in its list.
func listed(ctx context.Context, client *http.Client, address string, member uint64) (bool, error) {
	status, header, raw, err := get(ctx, client, "http://"+address+membersPath)
	if err != nil {
		return false, err
	}
	var members []struct {
		ID uint64 `json:"id"`
	}
	if status != http.StatusOK || header.Get(clusterHeader) == "" || json.Unmarshal(raw, &members) != nil {
		return false, errStranger
	}
	for _, m := range members {
		if m.ID == member {
			return true, nil
		}
	}
	return false, nil
}

func get(ctx context.Context, client *http.Client, url string) (int, http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, nil, fmt.Errorf("read the answer: %w", err)
	}
	return resp.StatusCode, resp.Header, raw, nil
}
