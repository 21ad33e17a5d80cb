"""An Ansible module with the facts of `community.general.listen_ports_facts`, from a vendored portrange.

`module_utils/portrange` beside the play is a copy of the package; Ansible sends it to the host as part of the module.
"""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils import portrange
from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    facts: dict[str, list[dict[str, Any]]] = {"tcp_listen": [], "udp_listen": []}
    try:
        listeners = portrange.listeners()
    except portrange.PortrangeError as error:
        module.fail_json(msg=str(error))
    for listener in listeners:
        for owner in listener.owners:
            facts[f"{listener.protocol}_listen"].append(
                {
                    "address": listener.address,
                    "name": owner.name,
                    "pid": owner.pid,
                    "port": listener.port,
                    "protocol": listener.protocol,
                    "stime": time.ctime(owner.started),
                    "user": owner.user,
                }
            )
    module.exit_json(changed=False, ansible_facts=facts, warnings=list(listeners.incomplete))


if __name__ == "__main__":
    main()
