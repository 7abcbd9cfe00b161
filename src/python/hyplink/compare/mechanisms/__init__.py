"""One file a mechanism: code for both VMs that the harness measures. A VM imports the one it runs."""
