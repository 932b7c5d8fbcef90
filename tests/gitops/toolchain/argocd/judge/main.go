// Command judge runs Lua as Argo CD does. Objects come in as JSON, one a line, and what Argo CD makes of each goes out
// likewise:
//
//	judge health SCRIPT      the object's health: {"status": …, "message": …}
//	judge discovery SCRIPT   the actions that a person may choose
//	judge action SCRIPT      what the action does: [{"operation": …, "resource": …}]
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/argoproj/argo-cd/v3/util/lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubejson "k8s.io/apimachinery/pkg/util/json"
)

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: judge health|discovery|action SCRIPT"))
	}
	script, err := os.ReadFile(os.Args[2])
	if err != nil {
		fail(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		object := &unstructured.Unstructured{}
		if err := kubejson.Unmarshal(lines.Bytes(), &object.Object); err != nil {
			fail(err)
		}
		judged, err := judge(os.Args[1], object, string(script))
		if err != nil {
			fail(err)
		}
		said, err := json.Marshal(judged)
		if err != nil {
			fail(err)
		}
		fmt.Println(string(said))
	}
	if err := lines.Err(); err != nil {
		fail(err)
	}
}

func judge(question string, object *unstructured.Unstructured, script string) (any, error) {
	vm := lua.VM{}
	switch question {
	case "health":
		return vm.ExecuteHealthLua(object, script)
	case "discovery":
		return vm.ExecuteResourceActionDiscovery(object, []string{script})
	case "action":
		impacted, err := vm.ExecuteResourceAction(object, script, nil)
		if err != nil {
			return nil, err
		}
		done := make([]map[string]any, 0, len(impacted))
		for _, item := range impacted {
			done = append(done, map[string]any{
				"operation": string(item.K8SOperation),
				"resource":  item.UnstructuredObj.Object,
			})
		}
		return done, nil
	}
	return nil, fmt.Errorf("there is no question %q", question)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "judge:", err)
	os.Exit(1)
}
