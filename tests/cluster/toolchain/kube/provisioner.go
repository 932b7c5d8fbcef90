package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

const (
	// The controller-manager writes this on a claim that waits for a provisioner from outside, and,
	// where the class waits for the first consumer, only once the scheduler has chosen a node.
	storageProvisioner = "volume.kubernetes.io/storage-provisioner"
	provisionedBy      = "pv.kubernetes.io/provisioned-by"
	retryAfter         = time.Second
)

// provisioner makes a folder of this host for each claim. It runs beside the kubelet, so unlike
// the provisioners that run in a cluster it needs no helper pod, and so no image.
type provisioner struct {
	name, node, root string
	client           kubernetes.Interface
	claims           corelisters.PersistentVolumeClaimLister
	volumes          corelisters.PersistentVolumeLister
	classes          storagelisters.StorageClassLister
}

// settle looks at every claim and every volume: there are few, and level-based code has no lost events.
func (p provisioner) settle(ctx context.Context) error {
	claims, err := p.claims.List(labels.Everything())
	if err != nil {
		return err
	}
	volumes, err := p.volumes.List(labels.Everything())
	if err != nil {
		return err
	}
	var failures []error
	for _, claim := range claims {
		waiting := claim.Spec.VolumeName == "" && claim.DeletionTimestamp == nil
		if waiting && claim.Annotations[storageProvisioner] == p.name {
			failures = append(failures, p.provision(ctx, claim))
		}
	}
	for _, volume := range volumes {
		ours := volume.Annotations[provisionedBy] == p.name
		released := volume.Status.Phase == v1.VolumeReleased || volume.Status.Phase == v1.VolumeFailed
		if ours && released && volume.Spec.PersistentVolumeReclaimPolicy == v1.PersistentVolumeReclaimDelete {
			failures = append(failures, p.remove(ctx, volume))
		}
	}
	return errors.Join(failures...)
}

func (p provisioner) provision(ctx context.Context, claim *v1.PersistentVolumeClaim) error {
	// The name is derived from the claim's uid, so asking twice makes one volume.
	name := "pvc-" + string(claim.UID)
	if _, err := p.volumes.Get(name); err == nil {
		return nil
	}
	class, err := p.classes.Get(*claim.Spec.StorageClassName)
	if err != nil {
		return err
	}
	path := filepath.Join(p.root, name)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	// The kubelet gives no ownership of a hostPath to a pod's fsGroup, and pods run under any uid;
	// chmod because the umask has narrowed what MkdirAll asked for.
	if err := os.Chmod(path, 0o777); err != nil {
		return err
	}
	directory := v1.HostPathDirectory
	onThisNode := v1.NodeSelectorRequirement{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{p.node}}
	volume := &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: p.name}},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			StorageClassName:              class.Name,
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      v1.ResourceList{v1.ResourceStorage: claim.Spec.Resources.Requests[v1.ResourceStorage]},
			ClaimRef: &v1.ObjectReference{
				Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: path, Type: &directory}},
			NodeAffinity: &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{
				{MatchExpressions: []v1.NodeSelectorRequirement{onThisNode}},
			}}},
		},
	}
	if _, err = p.client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{}); apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (p provisioner) remove(ctx context.Context, volume *v1.PersistentVolume) error {
	// Built from the name, never read from the object: whoever may edit volumes may not have any folder removed.
	if err := os.RemoveAll(filepath.Join(p.root, filepath.Base(volume.Name))); err != nil {
		return err
	}
	err := p.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (p provisioner) run(ctx context.Context) error {
	look := make(chan struct{}, 1)
	wake := func() {
		select {
		case look <- struct{}{}:
		default: // a look is due anyway
		}
	}
	factory := informers.NewSharedInformerFactory(p.client, 0)
	events := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { wake() },
		UpdateFunc: func(any, any) { wake() },
		DeleteFunc: func(any) { wake() },
	}
	claims, volumes := factory.Core().V1().PersistentVolumeClaims(), factory.Core().V1().PersistentVolumes()
	p.claims, p.volumes, p.classes = claims.Lister(), volumes.Lister(), factory.Storage().V1().StorageClasses().Lister()
	for _, informer := range []cache.SharedIndexInformer{claims.Informer(), volumes.Informer()} {
		if _, err := informer.AddEventHandler(events); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for range look {
		if err := p.settle(ctx); err != nil {
			klog.ErrorS(err, "Trying again", "after", retryAfter)
			time.AfterFunc(retryAfter, wake)
		}
	}
	return errors.New("the provisioner ended by itself")
}

func newProvisionerCommand() *cobra.Command {
	var p provisioner
	var kubeconfig string
	command := &cobra.Command{
		Use:          "provisioner",
		Short:        "Make a folder of this host for each PersistentVolumeClaim",
		SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return err
			}
			if p.client, err = kubernetes.NewForConfig(config); err != nil {
				return err
			}
			return p.run(context.Background())
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "file that says how to reach the API server")
	command.Flags().StringVar(&p.name, "name", "", "provisioner that StorageClasses name")
	command.Flags().StringVar(&p.node, "node", "", "node whose folders these are")
	command.Flags().StringVar(&p.root, "root", "", "folder that holds the volumes")
	return command
}
