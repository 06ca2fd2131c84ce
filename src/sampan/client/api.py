"""Every endpoint under the name that it has as a method of both clients."""

from __future__ import annotations

from . import containers, images, networks, system, volumes


class Api:
    """The methods; `Client` answers with values and iterators, `AsyncClient` with awaitables and async iterators."""

    container_list = containers.container_list
    container_create = containers.container_create
    container_inspect = containers.container_inspect
    container_start = containers.container_start
    container_stop = containers.container_stop
    container_restart = containers.container_restart
    container_kill = containers.container_kill
    container_pause = containers.container_pause
    container_unpause = containers.container_unpause
    container_rename = containers.container_rename
    container_resize = containers.container_resize
    container_update = containers.container_update
    container_remove = containers.container_remove
    container_wait = containers.container_wait
    container_top = containers.container_top
    container_changes = containers.container_changes
    container_prune = containers.container_prune
    container_logs = containers.container_logs
    container_stats = containers.container_stats
    container_export = containers.container_export
    container_archive = containers.container_archive
    container_put_archive = containers.container_put_archive
    container_commit = containers.container_commit
    exec_create = containers.exec_create
    exec_inspect = containers.exec_inspect
    exec_start_detached = containers.exec_start_detached
    exec_resize = containers.exec_resize

    image_list = images.image_list
    image_inspect = images.image_inspect
    image_history = images.image_history
    image_tag = images.image_tag
    image_remove = images.image_remove
    image_prune = images.image_prune
    image_search = images.image_search
    image_pull = images.image_pull
    image_push = images.image_push
    image_import = images.image_import
    image_load = images.image_load
    image_save = images.image_save
    image_bootstrap = images.image_bootstrap
    system_check = images.system_check
    system_migrate = images.system_migrate
    build = images.build
    build_session = images.build_session
    build_context = images.build_context
    build_cache = images.build_cache
    build_file = images.build_file
    build_no_file = images.build_no_file
    build_manifest = images.build_manifest
    build_contents = images.build_contents
    build_tree = images.build_tree
    build_archive = images.build_archive
    build_end = images.build_end
    build_cancel = images.build_cancel
    build_prune = images.build_prune
    distribution_inspect = images.distribution_inspect

    network_list = networks.network_list
    network_inspect = networks.network_inspect
    network_create = networks.network_create
    network_connect = networks.network_connect
    network_disconnect = networks.network_disconnect
    network_remove = networks.network_remove
    network_prune = networks.network_prune
    network_map = networks.network_map
    network_check = networks.network_check
    volume_list = volumes.volume_list
    volume_inspect = volumes.volume_inspect
    volume_create = volumes.volume_create
    volume_remove = volumes.volume_remove
    volume_prune = volumes.volume_prune
    volume_rename = volumes.volume_rename
    volume_copy = volumes.volume_copy
    volume_snapshots = volumes.volume_snapshots
    volume_snapshot = volumes.volume_snapshot
    volume_snapshot_remove = volumes.volume_snapshot_remove
    volume_restore = volumes.volume_restore
    volume_export = volumes.volume_export
    volume_import = volumes.volume_import

    version = system.version
    info = system.info
    disk_usage = system.disk_usage
    login = system.login
    events = system.events
    plugin_list = system.plugin_list
    plugin_inspect = system.plugin_inspect
    secret_create = system.secret_create
    secret_remove = system.secret_remove
    swarm_objects = system.swarm_objects
    swarm_inspect = system.swarm_inspect
