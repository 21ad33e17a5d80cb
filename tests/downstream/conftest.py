"""The modules that Ansible and pytest load from this directory are not tests."""

collect_ignore = ["ansible", "beside_psutil.py"]
