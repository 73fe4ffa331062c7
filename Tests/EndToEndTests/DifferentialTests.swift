// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// The same Dockerfiles built by galley and by buildah: equal trees and configs, but for what a table tolerates.
///
/// Each folder of Tests/Corpus/differential is a context; `prepare.sh` makes what git does not keep.
@Suite(.endToEnd, .needs(program: "buildah"), .needs(program: "unshare")) struct DifferentialTests {
    private static let shared = SharedStore()
    private static let buildah = Result { try Buildah() }

    static let names: [String] = {
        guard let directory = try? open(RawPath(TestInstallation.corpus + "/differential"), [.directory]) else {
            return []
        }
        return ((try? readDirectory(directory.raw)) ?? []).map(\.name.description).sorted()
    }()

    @Test("the corpus is there") func corpus() { #expect(Self.names.count >= 40) }

    @Test("tree and config are as buildah's", arguments: names) func same(name: String) async throws {
        let context = try BuildContext()
        try await runScript(
            """
            cp -a "$1/." .; chown -R 0:0 .
            find . -type d -exec chmod 755 {} +; find . -type f -exec chmod 644 {} +
            if [ -e prepare.sh ]; then bash -euo pipefail prepare.sh; rm prepare.sh; fi
            """,
            ["\(TestInstallation.corpus)/differential/\(name)"],
            directory: context.directory.path
        )
        let work = try ScratchDirectory()
        let store = try await Self.shared.get()
        try await store.build(context, tag: name, ["--output", "type=tar,dest=\(work.file("galley.tar"))", "--load"])
        let ours = try await store.inspect(name)["Config"] ?? .null
        let theirs = try await Self.buildah.get().build(context.path, tree: work.file("buildah.tar"))
        try await runScript(
            """
            for who in galley buildah; do
                mkdir "$who"
                tar --numeric-owner --same-owner --xattrs --xattrs-include='*' -xpf "$who.tar" -C "$who"
            done
            """,
            directory: work.path
        )
        let differences =
            Difference.all(try treeFacts(work.file("galley")), try treeFacts(work.file("buildah")))
            + Difference.all(configFacts(ours), configFacts(theirs))
        let remaining = differences.filter { difference in
            !Tolerance.table.contains { $0.covers(difference, in: name) }
        }
        #expect(remaining.isEmpty, "\(remaining.map(\.description).joined(separator: "\n"))")
    }

    /// What both sides know of a config, as text. Empty and missing mean the same, as do no WorkingDir and /.
    private func configFacts(_ config: JSONValue) -> [String: String] {
        var facts: [String: String] = [:]
        facts["WorkingDir"] = config["WorkingDir"]?.stringValue.flatMap { $0.isEmpty || $0 == "/" ? nil : $0 }
        for field in ["User", "StopSignal"] {
            facts[field] = config[field]?.stringValue.flatMap { $0.isEmpty ? nil : $0 }
        }
        for field in ["Env", "Cmd", "Entrypoint", "Shell", "OnBuild"] {
            facts[field] = config[field]?.strings.isEmpty == false ? "\(config[field]?.strings ?? [])" : nil
        }
        for field in ["ExposedPorts", "Volumes"] {
            facts[field] = config[field]?.names.isEmpty == false ? "\(config[field]?.names ?? [])" : nil
        }
        for (key, value) in config["Labels"]?.objectValue ?? [:] { facts["Labels.\(key)"] = value.stringValue }
        for (key, value) in config["Healthcheck"]?.objectValue ?? [:] { facts["Healthcheck.\(key)"] = "\(value)" }
        return facts
    }
}

/// A difference that is meant.
struct Tolerance {
    /// Name of the difference: a path, or a field of the config.
    let name: String
    /// Folder of the corpus; nil is any.
    let test: String?
    let reason: String

    init(_ name: String, in test: String? = nil, because reason: String) {
        self.name = name
        self.test = test
        self.reason = reason
    }

    func covers(_ difference: Difference, in test: String) -> Bool {
        difference.name == name && (self.test == nil || self.test == test)
    }

    private static let madeDirectories =
        "buildah leaves directories that a copy makes for itself at 755; in BuildKit they too get the bits of --chmod"
    private static let linkedDestination =
        "buildah replaces a symlink that a COPY names; BuildKit writes to what it points to"

    private static let orderOfVariables =
        "buildah moves a variable that is set again to the end; BuildKit changes it where it is"
    private static let removedTargets =
        "buildah removes the target of a tmpfs mount with all that the image has there; BuildKit leaves it alone"
    private static let inheritedArguments =
        "a stage has the ARGs of the stage it begins with in BuildKit, not in buildah"

    static let table = [
        Tolerance("Labels.io.buildah.version", because: "buildah signs its images"),
        Tolerance("/etc/resolv.conf", because: "buildah's chroot isolation leaves its mount point; the base has none"),
        Tolerance(
            "/m/dir/f",
            in: "copy-modes",
            because: "buildah takes setuid off a file that COPY brings; BuildKit keeps all twelve bits"
        ),
        Tolerance(
            "Env",
            in: "escape-directive",
            because: "buildah takes \\ for an escape although the directive names another character"
        ),
        Tolerance(
            "Cmd",
            in: "stopsignal-shell",
            because: "buildah puts /bin/sh before a CMD in shell form although SHELL names another shell"
        ),
        Tolerance("/v 3", in: "volume", because: "buildah makes the directory of a volume; BuildKit does not"),
        Tolerance(
            "/x/in",
            in: "add-tar-chown",
            because: "buildah keeps the owners of an archive although ADD names one; BuildKit gives them to all of it"
        ),
        Tolerance("/t", in: "copy-chmod-numbers", because: madeDirectories),
        Tolerance("/t", in: "copy-chmod-and-chown", because: madeDirectories),
        Tolerance("/n", in: "copy-chmod-and-chown", because: madeDirectories),
        Tolerance(
            "/t/shared",
            in: "copy-directory-modes",
            because: "buildah takes setgid off a directory that COPY brings; BuildKit keeps all twelve bits"
        ),
        Tolerance(
            "/first",
            in: "arg-env-wins",
            because: "an ARG after an ENV of its name counts for RUN in BuildKit; in buildah the ENV does"
        ),
        Tolerance("/two", in: "arg-scope", because: inheritedArguments),
        Tolerance("/three", in: "arg-scope", because: inheritedArguments),
        Tolerance("Env", in: "env-overrides-base", because: orderOfVariables),
        Tolerance("Env", in: "run-environment", because: orderOfVariables),
        Tolerance(
            "ExposedPorts",
            in: "meta-expose",
            because: "buildah keeps a range and its letter case as written; BuildKit names each port"
        ),
        Tolerance(
            "/h/c",
            in: "run-hard-links",
            because: "buildah runs all steps in one layer; writing to a file of a lower layer parts its names"
        ),
        Tolerance("/full", in: "run-mount-tmpfs", because: removedTargets),
        Tolerance("/full/kept", in: "run-mount-tmpfs", because: removedTargets),
        Tolerance("/l", in: "copy-over-link-to-file", because: linkedDestination),
        Tolerance("/t/f", in: "copy-over-link-to-file", because: linkedDestination),
    ]
}
