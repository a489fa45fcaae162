package launcher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"dvr/controller/certs"
)

// Limits of calls to nodes.
const (
	askTime    = 2 * time.Second  // a probe: longer is as good as dead
	changeTime = 10 * time.Second // a change of membership
	answerSize = 1 << 20
)

// Member is a node as a member of the cluster tells it.
type Member struct {
	NodeID   string `json:"node_id"`
	MemberID string `json:"member_id"`
	Role     string `json:"role"` // voter, learner, observer
	Leader   bool   `json:"leader"`
	Online   bool   `json:"online"`
}

// membership is the answer of GET /v1/cluster/members.
type membership struct {
	ClusterID string   `json:"cluster_id"`
	Members   []Member `json:"members"`
}

func (m *membership) of(id string) (Member, bool) {
	for _, member := range m.Members {
		if member.NodeID == id {
			return member, true
		}
	}
	return Member{}, false
}

// health is the answer of GET /health.
type health struct {
	Status    string `json:"status"`
	RaftState string `json:"raft_state"`
	NodeID    string `json:"node_id"`
	Revision  uint64 `json:"revision"`
	Reason    string `json:"reason"` // what a node waits for that serves nothing yet
}

// answerError is an answer that is not 2xx.
type answerError struct {
	status int
	detail string
}

func (e *answerError) Error() string { return e.detail }

// caller talks to nodes' APIs.
type caller struct {
	http   *http.Client
	scheme string
}

func newCaller(c *certificates) *caller {
	var shown *certs.Credentials
	if c != nil {
		shown = c.caller
	}
	dial := shown.Dial(askTime, certs.Node)
	return &caller{scheme: shown.Scheme(), http: &http.Client{Transport: &http.Transport{
		DialContext: dial, DialTLSContext: dial,
		MaxIdleConnsPerHost:   2,
		IdleConnTimeout:       time.Minute,
		ResponseHeaderTimeout: 0, // the context's
	}}}
}

func (c *caller) close() { c.http.CloseIdleConnections() }

// do calls the node at port and decodes its answer into out, a problem too
// (out may be nil). Errors: *answerError, or that of the connection.
func (c *caller) do(ctx context.Context, method string, port int, path string, out any) error {
	return c.send(ctx, method, port, path, nil, out)
}

// post is do of a change with a body.
func (c *caller) post(ctx context.Context, port int, path string, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.send(ctx, http.MethodPost, port, path, raw, nil)
}

func (c *caller) send(ctx context.Context, method string, port int, path string, sent []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.scheme+"://"+loopback(port)+path, bytes.NewReader(sent))
	if err != nil {
		return err
	}
	if len(sent) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if header, _ := ctx.Value(credentialKey{}).(string); header != "" {
		req.Header.Set("Authorization", header)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerSize))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	var decoding error
	if out != nil {
		decoding = json.NewDecoder(bytes.NewReader(body)).Decode(out)
	}
	if resp.StatusCode/100 != 2 {
		var problem struct{ Detail string }
		_ = json.Unmarshal(body, &problem) // what is no problem document is named by its status
		if problem.Detail == "" {
			problem.Detail = strings.ToLower(http.StatusText(resp.StatusCode))
		}
		return &answerError{resp.StatusCode, problem.Detail}
	}
	if decoding != nil {
		return fmt.Errorf("the answer is not what was expected: %w", decoding)
	}
	return nil
}

// remove asks one node to remove the member. known is false where the cluster
// has no such member. Errors: ErrQuorum, or that this node could not do it.
func (c *caller) remove(ctx context.Context, port int, id string) (known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, changeTime)
	defer cancel()
	err = c.do(ctx, http.MethodDelete, port, "/v1/cluster/members/"+id, nil)
	var answer *answerError
	if errors.As(err, &answer) {
		switch answer.status {
		case http.StatusNotFound:
			return false, nil
		case http.StatusConflict:
			return true, &quorumError{answer.detail}
		}
	}
	return true, err
}
