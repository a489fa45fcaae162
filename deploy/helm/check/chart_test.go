package check

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/strvals"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	openapitest "k8s.io/kube-openapi/pkg/util/proto/testing"
	"k8s.io/kubectl/pkg/util/openapi"
	"k8s.io/kubectl/pkg/validation"
	"sigs.k8s.io/yaml"
)

const path = "../dvr"

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// render gives the files that Helm would apply, by name, with values as --set has them.
func render(c *chart.Chart, release string, set ...string) (map[string]string, error) {
	values := map[string]any{}
	for _, s := range set {
		if err := strvals.ParseInto(s, values); err != nil {
			return nil, err
		}
	}
	capabilities := *chartutil.DefaultCapabilities
	capabilities.KubeVersion = chartutil.KubeVersion{Version: "v1.34.0", Major: "1", Minor: "34"}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: release, Namespace: "net", Revision: 1, IsInstall: true}, &capabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, text := range files {
		if strings.TrimSpace(text) != "" && !strings.HasSuffix(name, ".tpl") {
			out[filepath.Base(name)] = text
		}
	}
	return out, nil
}

// objects are what was rendered, as Kubernetes reads it.
type objects struct {
	service core.Service
	budget  policy.PodDisruptionBudget
	nodes   apps.StatefulSet
	planes  *apps.DaemonSet
}

// decode refuses fields that Kubernetes does not know, as its API server does under fieldValidation=Strict.
func decode(files map[string]string) (*objects, error) {
	o := &objects{}
	for name, text := range files {
		var into runtime.Object
		var kind string
		switch name {
		case "service.yaml":
			into, kind = &o.service, "Service"
		case "disruption.yaml":
			into, kind = &o.budget, "PodDisruptionBudget"
		case "nodes.yaml":
			into, kind = &o.nodes, "StatefulSet"
		case "data-planes.yaml":
			o.planes = &apps.DaemonSet{}
			into, kind = o.planes, "DaemonSet"
		case "NOTES.txt":
			continue
		default:
			return nil, fmt.Errorf("%s: not known to this test", name)
		}
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", name, err, text)
		}
		if got := into.GetObjectKind().GroupVersionKind().Kind; got != kind {
			return nil, fmt.Errorf("%s is a %s", name, got)
		}
	}
	return o, nil
}

// schema is Kubernetes' OpenAPI description, which kubectl's module has with it.
func schema(t *testing.T) validation.Schema {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubectl").Output()
	if err != nil {
		t.Fatal(err)
	}
	fake := openapitest.Fake{Path: filepath.Join(strings.TrimSpace(string(dir)), "testdata", "openapi", "swagger.json")}
	document, err := fake.OpenAPISchema()
	if err != nil {
		t.Fatal(err)
	}
	resources, err := openapi.NewOpenAPIData(document)
	if err != nil {
		t.Fatal(err)
	}
	return validation.NewSchemaValidation(getter{resources})
}

type getter struct{ resources openapi.Resources }

func (g getter) OpenAPISchema() (openapi.Resources, error) { return g.resources, nil }

// variants are values that a user may set.
var variants = map[string][]string{
	"as it is":          nil,
	"clear text":        {"tls.enabled=false"},
	"xdp":               {"dataPlanes.sink=xdp", "dataPlanes.interfaces={eth0,eth1}"},
	"memory":            {"dataPlanes.sink=memory", "dataPlanes.settings.DVR_PROBE=\"5\""},
	"nodes alone":       {"dataPlanes.enabled=false"},
	"with all settings": {"nodes.settings.KV_QUOTA=256MiB", "nodes.storage.className=fast", "nodes.nodeSelector.disk=ssd", "nodes.tolerations[0].key=a", "nodes.tolerations[0].operator=Exists", "dataPlanes.nodeSelector.router=yes", "dataPlanes.tolerations[0].operator=Exists", "imagePullSecrets[0].name=registry", "dataPlanes.settings.DVR_BPFFS=/sys/fs/bpf"},
}

func TestChartIsWellFormed(t *testing.T) {
	result := lint.AllWithKubeVersion(path, map[string]any{}, "net", &chartutil.KubeVersion{Version: "v1.34.0", Major: "1", Minor: "34"})
	for _, m := range result.Messages {
		if m.Severity > 1 {
			t.Error(m)
		}
	}
}

// TestWhatKubernetesGets: for all variants it is what its schema and types
// say, what refers to something finds it, and names fit together.
func TestWhatKubernetesGets(t *testing.T) {
	c, s := load(t), schema(t)
	for name, set := range variants {
		for _, release := range []string{"dvr", "prod", strings.Repeat("long-", 10) + "abc"} {
			t.Run(name+", "+release, func(t *testing.T) {
				files, err := render(c, release, set...)
				if err != nil {
					t.Fatal(err)
				}
				for file, text := range files {
					if file == "NOTES.txt" {
						continue
					}
					if err := s.ValidateBytes([]byte(text)); err != nil {
						t.Errorf("%s: %v\n%s", file, err, text)
					}
				}
				o, err := decode(files)
				if err != nil {
					t.Fatal(err)
				}
				judge(t, o, slices.Contains(set, "tls.enabled=false"))
			})
		}
	}
}

func judge(t *testing.T, o *objects, clear bool) {
	n := &o.nodes
	selects(t, "the StatefulSet", n.Spec.Selector, &n.Spec.Template)
	selects(t, "the budget", o.budget.Spec.Selector, &n.Spec.Template)
	selects(t, "the service", &meta.LabelSelector{MatchLabels: o.service.Spec.Selector}, &n.Spec.Template)
	if *n.Spec.Replicas != 3 || o.budget.Spec.MaxUnavailable.IntValue() != 1 || n.Spec.PodManagementPolicy != apps.ParallelPodManagement {
		t.Error("three nodes, together, of which one may be away")
	}
	if n.Spec.ServiceName != o.service.Name || o.service.Spec.ClusterIP != core.ClusterIPNone || !o.service.Spec.PublishNotReadyAddresses {
		t.Error("the nodes have no names by the service")
	}
	node := container(t, n.Spec.Template.Spec, claimed(n))
	for _, p := range o.service.Spec.Ports {
		if !named(node, p.TargetPort, p.Port) {
			t.Errorf("the service's port %s leads nowhere", p.Name)
		}
	}
	for _, p := range []*core.Probe{node.StartupProbe, node.LivenessProbe, node.ReadinessProbe} {
		want := core.URISchemeHTTPS
		if clear {
			want = core.URISchemeHTTP
		}
		if p.HTTPGet.Scheme != want || !named(node, p.HTTPGet.Port, 9090) || len(p.HTTPGet.HTTPHeaders) != 1 {
			t.Errorf("probe %+v", p.HTTPGet)
		}
	}
	if node.ReadinessProbe.HTTPGet.Path != "/readyz" || node.LivenessProbe.HTTPGet.Path != "/livez" {
		t.Error("what is not ready is restarted")
	}
	settings := values(node)
	domain := o.service.Name + ".net.svc.cluster.local:"
	var members, controllers []string
	for i := range 3 {
		pod := fmt.Sprintf("%s-%d", n.Name, i)
		if len(pod) > 63 {
			t.Errorf("%s is too long", pod)
		}
		members = append(members, pod+"="+pod+"."+domain+"8300")
		controllers = append(controllers, pod+"."+domain+"9190")
	}
	if settings["INITIAL_CLUSTER"] != strings.Join(members, ",") || settings["RAFT_ADVERTISE"] != "$(NODE_ID)."+domain+"8300" {
		t.Errorf("%v", settings)
	}
	secured(t, settings, clear)
	if clear != (settings["INSECURE"] == "true") {
		t.Errorf("INSECURE is %q", settings["INSECURE"])
	}
	if o.planes == nil {
		return
	}
	p := o.planes
	selects(t, "the DaemonSet", p.Spec.Selector, &p.Spec.Template)
	if selector, err := meta.LabelSelectorAsSelector(n.Spec.Selector); err != nil || selector.Matches(labels.Set(p.Spec.Template.Labels)) {
		t.Error("the StatefulSet takes data planes for its own")
	}
	plane := container(t, p.Spec.Template.Spec, nil)
	settings = values(plane)
	secured(t, settings, clear)
	if settings["DVR_CONTROLLER"] != strings.Join(controllers, ",") || !p.Spec.Template.Spec.HostNetwork || plane.Env[0].ValueFrom.FieldRef.FieldPath != "spec.nodeName" {
		t.Errorf("%v", settings)
	}
	may := map[string]int{"memory": 0, "kernel": 1, "xdp": 3}[settings["DVR_SINK"]]
	if got := plane.SecurityContext.Capabilities.Add; len(got) != may || !slices.Equal(plane.SecurityContext.Capabilities.Drop, []core.Capability{"ALL"}) {
		t.Errorf("sink %s has %v", settings["DVR_SINK"], got)
	}
	if (settings["DVR_SINK"] == "xdp") != (settings["DVR_INTERFACE"] == "eth0,eth1") {
		t.Errorf("interfaces %q", settings["DVR_INTERFACE"])
	}
}

func secured(t *testing.T, settings map[string]string, clear bool) {
	t.Helper()
	for _, name := range []string{"DVR_CA_FILE", "DVR_CRL_FILE", "DVR_CERT_FILE", "DVR_KEY_FILE"} {
		if strings.HasPrefix(settings[name], "/certs/") == clear {
			t.Errorf("%s is %q", name, settings[name])
		}
	}
}

func selects(t *testing.T, what string, s *meta.LabelSelector, pod *core.PodTemplateSpec) {
	t.Helper()
	selector, err := meta.LabelSelectorAsSelector(s)
	if err != nil || selector.Empty() || !selector.Matches(labels.Set(pod.Labels)) {
		t.Errorf("%s does not select its pods: %v, %v", what, pod.Labels, err)
	}
}

func claimed(s *apps.StatefulSet) (names []string) {
	for _, c := range s.Spec.VolumeClaimTemplates {
		names = append(names, c.Name)
	}
	return names
}

// container is the pod's only one; its mounts are of volumes that there are, and all of them are mounted.
func container(t *testing.T, pod core.PodSpec, volumes []string) *core.Container {
	t.Helper()
	if len(pod.Containers) != 1 {
		t.Fatalf("%d containers", len(pod.Containers))
	}
	c := &pod.Containers[0]
	for _, v := range pod.Volumes {
		volumes = append(volumes, v.Name)
	}
	var mounts []string
	for _, m := range c.VolumeMounts {
		mounts = append(mounts, m.Name)
	}
	slices.Sort(volumes)
	slices.Sort(mounts)
	if !slices.Equal(volumes, mounts) {
		t.Errorf("volumes %v, mounts %v", volumes, mounts)
	}
	if *pod.AutomountServiceAccountToken || *c.SecurityContext.AllowPrivilegeEscalation || !*c.SecurityContext.ReadOnlyRootFilesystem {
		t.Errorf("it may more than it needs: %+v", c.SecurityContext)
	}
	return c
}

func named(c *core.Container, port intstr.IntOrString, number int32) bool {
	return slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool { return p.Name == port.StrVal && p.ContainerPort == number })
}

func values(c *core.Container) map[string]string {
	out := map[string]string{}
	for _, e := range c.Env {
		out[e.Name] = e.Value
	}
	return out
}

// TestWrongValues: a user is told before anything is applied.
func TestWrongValues(t *testing.T) {
	c := load(t)
	for _, set := range []string{
		"tls.enable=false", "dataPlanes.sink=kernal", "dataPlanes.sink=xdp", "nodes.storage.size=lots", "nodes.replicas=5",
		"nodes.settings.kv_quota=1", "nodes.settings.KV_QUOTA=5", "tls.dataPlaneDirectory=certs", "nodes.logLevel=loud", "clusterDomain=",
	} {
		if _, err := render(c, "dvr", set); err == nil {
			t.Errorf("%s is accepted", set)
		}
	}
}

// TestTheJudgesJudge: what is wrong with an object is found by schema or types.
func TestTheJudgesJudge(t *testing.T) {
	s := schema(t)
	files, err := render(load(t), "dvr")
	if err != nil {
		t.Fatal(err)
	}
	good := files["nodes.yaml"]
	for name, change := range map[string][2]string{
		"unknown field":  {"serviceName:", "serviceNames:"},
		"wrong type":     {"replicas: 3", "replicas: three"},
		"required field": {"- name: data\n              mountPath", "- mountPath"},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Fatalf("%s: nothing to change", name)
		}
		if err := s.ValidateBytes([]byte(bad)); err == nil {
			t.Errorf("%s: the schema accepts it", name)
		}
	}
}
