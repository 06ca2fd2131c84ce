"""One command line given to the stock docker client and to ours, against one daemon, and their answers compared.

`{n}` in a line is `d` for docker and `s` for sampan, so that each has objects of its own; what must differ (ids,
ages, times, the program's name) is normalised away.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

from .hosts import Result, run

SAMPAN = str(Path(sys.executable).parent / "sampan")
SECTION = {
    "life": r"""
run --rm busybox echo hi
run --rm busybox sh -c 'echo out; echo err >&2; exit 7'
run --rm busybox nosuch
run --rm busybox /etc
run --rm --pull never nosuch
run --rm -e A=1 -e B busybox sh -c 'echo $A-$B'
run --rm -w /tmp -u 1:2 -h box busybox sh -c 'pwd; id -u; id -g; hostname'
run --rm --entrypoint echo busybox a b
run --rm -v /x busybox ls -d /x
run --rm --tmpfs /t:size=1m busybox sh -c 'df -P /t | tail -1 | cut -d" " -f1'
run --rm --mount type=tmpfs,dst=/t busybox ls -d /t
run --rm --read-only busybox touch /x
run --rm --network none busybox ls /sys/class/net
run --rm -i busybox cat < some input
run --rm -a stdout busybox sh -c 'echo out; echo err >&2'
run -d --name c{n} -l k=v -e E=1 --restart no busybox sleep 300
run -d --name c{n} busybox sleep 1
create --name k{n} busybox echo created
start k{n}
wait k{n}
logs k{n}
start -a k{n}
rm k{n}
ps --filter name=c{n}
ps -q --filter name=c{n} --no-trunc
ps -a --filter name=c{n} --format {{{{.Names}}}}|{{{{.Image}}}}|{{{{.Command}}}}|{{{{.Labels}}}}|{{{{.State}}}}
ps -a --filter name=c{n} --format 'table {{{{.Names}}}}\t{{{{.Status}}}}\t{{{{.Networks}}}}'
ps -s --filter name=c{n} --format {{{{.Size}}}}
ps --filter name=c{n} --format json
ps --filter name=c{n} --format '{{{{.Label "k"}}}} {{{{.LocalVolumes}}}} {{{{.Mounts}}}} {{{{.CreatedAt}}}}'
ps --filter name=c{n} --format raw
ps -n 0 --filter name=nothing
ps --last 1 --filter name=nothing
ps --no-trunc --filter name=c{n}
inspect -f {{{{.State.Status}}}} c{n}
inspect -f '{{{{json .Config.Cmd}}}} {{{{.Config.Env}}}} {{{{.Config.Labels}}}} {{{{.HostConfig.Binds}}}}' c{n}
inspect -f '{{{{range $k, $v := .NetworkSettings.Networks}}}}{{{{$k}}}}{{{{end}}}}' c{n}
inspect -f '{{{{len .Config.Env}}}} {{{{.HostConfig.PidsLimit}}}} {{{{index .Config.Labels "k"}}}}' c{n}
inspect -f '{{{{if .State.Running}}}}up{{{{else}}}}down{{{{end}}}} {{{{.RestartCount | printf "%05d"}}}}' c{n}
inspect -f {{{{.Bogus}}}} c{n}
inspect -f {{{{.State c{n}
inspect -f '{{{{bogus .State}}}}' c{n}
inspect nosuch
inspect c{n} nosuch -f {{{{.Name}}}}
inspect --type image busybox -f {{{{.RepoTags}}}}
inspect --type container busybox
container inspect c{n} -f {{{{.Config.Hostname}}}}
exec c{n} echo hi
exec c{n} sh -c 'exit 3'
exec c{n} nosuch
exec -e A=5 -w /tmp -u 3 c{n} sh -c 'echo $A; pwd; id -u'
exec -i c{n} cat < more input
exec -d c{n} true
exec nosuch true
top c{n} -o pid,comm
diff c{n}
port c{n}
port c{n} 80
rename c{n} r{n}
rename r{n} c{n}
rename nosuch x
pause c{n}
pause c{n}
ps --filter name=c{n} --filter status=paused --format {{{{.Status}}}}
unpause c{n}
unpause c{n}
update --memory 64m --memory-swap 64m c{n}
update c{n}
stats --no-stream --format {{{{.Name}}}}|{{{{.PIDs}}}} c{n}
kill -s CONT c{n}
kill nosuch
stop -t 0 c{n}
stop c{n}
restart -t 0 c{n}
rm c{n}
rm -f c{n}
rm c{n}
rm -f c{n}
start nosuch
stop nosuch
wait nosuch
logs nosuch
attach nosuch
top nosuch
diff nosuch
export nosuch
cp nosuch:/x -
commit nosuch
pause nosuch
restart nosuch
update -m 1g nosuch
port nosuch
""",
    "logs": r"""
run --name l{n} busybox sh -c 'for i in 1 2 3 4 5; do echo $i; done'
logs l{n}
logs -n 2 l{n}
logs --tail 0 l{n}
logs --since 1h l{n}
logs --until 1h l{n}
logs -t --tail 1 l{n}
logs -f l{n}
attach l{n}
start -a l{n}
container logs --tail 1 l{n}
commit -m note -a me -c 'CMD ["x"]' l{n} li{n}:1
inspect -f '{{{{.Comment}}}} {{{{.Author}}}} {{{{.Config.Cmd}}}}' li{n}:1
images li{n}
images li{n} --format '{{{{.Repository}}}}:{{{{.Tag}}}} {{{{.Size}}}} {{{{.CreatedSince}}}}'
images -q --no-trunc li{n}
images --digests li{n}
images --filter dangling=true --filter label=nothing
images --filter bogus
history li{n}:1 --format '{{{{.CreatedBy}}}}|{{{{.Comment}}}}|{{{{.Size}}}}'
history -q li{n}:1
history --no-trunc -H=false li{n}:1
history nosuch
tag li{n}:1 li{n}:2
tag nosuch x
tag li{n}:1 BAD
image ls li{n}
rmi li{n}:2
rmi li{n}:1
rmi li{n}:1
rmi nosuch
save nosuch
image inspect busybox -f {{{{.Os}}}}
image inspect nosuch
load < not a tar
import - im{n}:1 < not a tar
cp l{n}:/etc/nosuch /tmp
cp l{n}:/a l{n}:/b
cp /tmp/nonexistent l{n}:/
rm l{n}
""",
    "things": r"""
network create -d bridge --label a=b --subnet 10.{o}.0.0/24 n{n}
network create n{n}
network ls --filter name=n{n} --format '{{{{.Name}}}} {{{{.Driver}}}} {{{{.Scope}}}} {{{{.Labels}}}} {{{{.IPv6}}}}'
network ls --filter name=n{n}
network ls -q --filter name=n{n} --no-trunc
network inspect n{n} -f '{{{{(index .IPAM.Config 0).Subnet}}}} {{{{.Driver}}}} {{{{.Labels}}}} {{{{.Options}}}}'
network inspect nosuch
create --name nc{n} busybox true
network connect --alias al --ip 10.{o}.0.9 n{n} nc{n}
inspect nc{n} -f '{{{{(index .NetworkSettings.Networks "n{n}").IPAMConfig.IPv4Address}}}}'
network disconnect n{n} nc{n}
network disconnect n{n} nc{n}
network connect nosuch nc{n}
network rm n{n}
network rm n{n}
network rm -f n{n}
rm nc{n}
network create --gateway 1.2.3.4 x{n}
volume create --label a=b v{n}
volume create v{n}
volume ls --filter name=v{n}
volume ls -q --filter name=v{n}
volume ls --filter name=v{n} --format '{{{{.Name}}}} {{{{.Driver}}}} {{{{.Labels}}}} {{{{.Scope}}}} {{{{.Links}}}}'
volume inspect v{n} -f '{{{{.Name}}}} {{{{.Labels}}}} {{{{.Scope}}}}'
volume inspect nosuch
run --rm -v v{n}:/d busybox sh -c 'echo kept > /d/f'
run --rm -v v{n}:/d busybox cat /d/f
volume rm v{n}
volume rm v{n}
volume rm -f v{n}
container prune -f --filter label=nothing-has-this
volume prune -f --filter label=nothing-has-this
network prune -f --filter label=nothing-has-this
image prune -f --filter label=nothing-has-this
plugin ls
node ls
service ls
secret ls
config ls
version --format {{{{.Server.Version}}}}
info --format '{{{{.Driver}}}} {{{{.OSType}}}} {{{{.NCPU}}}}'
info --format {{{{json .Plugins}}}}
system df --format {{{{.Type}}}}
system df
events --since 10m --until 0s --filter volume=v{n} --format '{{{{.Type}}}} {{{{.Action}}}}'
events --since 9m --until 0s --filter container=nc{n} --format '{{{{.Actor.Attributes.name}}}} {{{{.Status}}}}'
events --since 10m --until 0s --filter volume=v{n} --filter event=create
search
""",
    "usage": r"""
run
run --bogus
run --cpus a busybox
run -p x busybox
run --mount dst busybox
run -m 1x busybox
run --restart always --rm busybox
run -d -a stdout busybox
run --pull bogus busybox
run --name
run -zz
create
exec
exec c
ps extra
ps -x
ps --format {{{{.Foo}}}}
ps --format {{{{foo}}}}
ps --filter bad
rename a
tag a
rm
start
start -a a b
logs
network bogus
network --bogus
network create
network create a b
network connect a
container bogus
bogus
volume rm
system df extra
inspect
inspect --type bogus x
inspect --type= x
commit
cp a
cp a b
history
top
port
context inspect nosuch
context rm default
context create default
context create bad/name
context use nosuch
context show
swarm
""",
}
"""`<` after a line gives its standard input; `{o}` is an octet that no one else uses."""
SKIPPED = frozenset({"swarm", "search"})

RULES = (
    (re.compile(r"\b(sha256:)?[0-9a-f]{64}\b"), "LONGID"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "SHORTID"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( \+0000 UTC|Z)"), "TIME"),
    (re.compile(r"(Less than a second|About an? (minute|hour)|\d+ (seconds?|minutes?|hours?|days?|weeks?))"), "AGE"),
    (re.compile(r"\d+(\.\d+)?[kMGT]?i?B( \(\d+%\))?"), "SIZE"),
    (re.compile(r" {2,}"), "  "),
    (re.compile(r"\bpid \d+|\b\d+(?= +sleep)"), "PID"),
    (re.compile(r"[Dd]ocker"), "sampan"),
)


def normalised(text: str, letter: str) -> str:
    """What is the same for both clients, if they agree."""
    text = re.sub(r"\b(c|k|r|l|li|n|nc|v|x|im)" + letter + r"\b", r"\1N", text)
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    return re.sub(r"10\.\d+\.0", "10.O.0", text)


def lines(section: str) -> list[str]:
    return [line for line in SECTION[section].strip().split("\n") if line not in SKIPPED]


class Twins:
    """Both clients against the daemon at `url`."""

    def __init__(self, url: str, directory: Path) -> None:
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "DOCKER_CONFIG": str(directory / "config"),
            "DOCKER_HOST": url,
            "DOCKER_CLI_HINTS": "false",
            "DOCKER_CLI_EXPERIMENTAL": "disabled",
        }

    def run(self, program: str, letter: str, line: str) -> Result:
        line, _, stdin = line.partition(" < ")
        words = shlex.split(line.format(n=letter, o={"d": 213, "s": 214}[letter]))
        return run([program, *words], env=self.environment, stdin=stdin.encode() if stdin else None, timeout=60)

    def difference(self, line: str) -> str:
        """Empty where both say the same and end alike."""
        answers = []
        for program, letter in (("docker", "d"), (SAMPAN, "s")):
            result = self.run(program, letter, line)
            parts = (str(result.status), normalised(result.out, letter), normalised(result.err, letter))
            answers.append(parts)
        if answers[0] == answers[1]:
            return ""
        return f"$ {line}\n  docker: {answers[0]!r}\n  sampan: {answers[1]!r}"
