"""kubectl llmbatch: what a person does with BatchJobs, by their own kubeconfig and their own rights."""
