"""Stories of one file (story.py): a source, an old target, runs of haul and damage between them (world.py), judged by model.py."""
import json
import os
import shlex
import subprocess

import model
import runner
import story as stories
import world as worlds


class Player(runner.Player):
    def __init__(self, build, folder, loud, undone):
        super().__init__(build, folder, loud, undone)
        self.devices = worlds.Devices(folder, undone)
        self.sick = worlds.SickDisk(build, folder, undone)
        for what, there in (("loop devices", self.devices.paths), ("disk with bad places", self.sick.mounted)):
            if not there:
                print(f"no {what} here: stories go without", flush=True)

    def play(self, seed):
        """The broken promises of one story. The first run that breaks one ends it."""
        story = stories.draw(seed, bool(self.devices.paths), self.sick.mounted)
        self.world = worlds.World(os.path.join(self.folder, "story"), story, self.devices, self.sick, self.haul)
        trust = model.Trust()
        self.say(*story.lines())
        for step in story.steps:
            if isinstance(step, stories.Tamper):
                if worlds.tamper(self.world, step.kind, step.seed):
                    trust.after_tamper(step.kind)
                    runner.score.count(step.kind)
                    self.say(f"{step.kind}")
                continue
            broken = self.run(story, step, trust)
            if broken:
                return broken
        return []

    def say(self, *lines):
        if self.loud:
            print(*lines, sep="\n", flush=True)

    def arguments(self, story, step):
        source, target = self.world.source_argument, self.world.target_argument
        far = self.haul + "".join(f" --memory={size}" for size in [step.value("--far-memory")] if size)
        options = [self.option(option) for option in step.options if not option.startswith("--far-memory")]
        if story.way != "local":
            options += [f"--rsh={self.world.path('rsh')}", f"--remote-path={far}", f"--retries={story.seed % 2}"]
        if not step.verify_only and story.target in stories.DEVICE_BYTES:
            options.append("--write-devices")
        if step.verify_only and story.target == "folder":
            target = self.world.target
        if story.way in ("pull", "both"):
            source = "one:" + source
        if story.way in ("push", "both"):
            target = "two:" + target
        return [self.haul] + ["verify"] * step.verify_only + ["--json"] * (not step.words) + options + [source, target]

    def option(self, option):
        files = {"--manifest": self.manifest(), "--journal": self.world.journal(elsewhere=True),
                 "--base-manifest": self.world.path("elsewhere", "base")}
        return f"{option}={files[option]}" if option in files else option

    def manifest(self):
        return self.world.path("elsewhere", "manifest")

    def run(self, story, step, trust):
        before, journal = self.world.moment(), self.world.journal(step.has("--journal"))
        if os.path.exists(self.manifest()):
            os.unlink(self.manifest())
        self.world.forget_servers()
        journal_before = self.chunks_of(journal)
        arguments = self.arguments(story, step)
        outcome = runner.run(arguments, self.world, step.stop)
        case = model.Case(story, step, outcome, before, self.world.moment(), trust, self.world.target,
                          self.chunks_of(self.manifest()), journal_before, self.chunks_of(journal))
        broken = model.judge(case)
        self.say(f"$ {shlex.join(arguments)}", f"  exit code {outcome.code}" + " (signalled)" * outcome.stopped)
        if broken:
            self.say(outcome.words)
        trust.after_run(case)
        self.world.keep_journal()
        return [f"{shlex.join(arguments)}\n    {words}" for words in broken]

    def chunks_of(self, path):
        """What a journal or manifest lists, as haul prints it."""
        if not os.path.isfile(path):
            return None
        done = subprocess.run([self.haul, "journal", "--json", path], capture_output=True, text=True, check=False)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return [(e["offset"], e["length"], e["digest"]) for e in events if e["event"] == "chunk"]
