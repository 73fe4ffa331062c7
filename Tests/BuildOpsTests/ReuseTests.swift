// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import LinuxSystem
import OCI
import Snapshots
import Solver
import Testing

@testable import BuildOps

/// Which former results serve for which inputs.
@Suite(.endsHangs) struct ReuseTests {
    private static let tree = """
        mkdir -p d/sub; echo one > d/f; echo two > d/sub/g; ln -s f d/l; ln d/f d/h; chmod 640 d/f
        mkfifo d/p; touch -d @1000 d/f d/sub/g d
        """

    // MARK: Layers

    @Test(
        "layers that hold the same, times aside, are the same",
        arguments: [
            ("", true), ("touch d/f d/sub d", true), ("cp -a d/f x; mv -f x d/f; ln -f d/f d/h", true),
            ("echo 0ne > d/f", false), ("printf 'one' > d/f", false), ("chmod 600 d/f", false), ("chmod 700 d", false),
            ("chown 1 d/f", false), ("chgrp 1 d", false), ("touch d/new", false), ("rm d/p", false),
            ("ln -sf g d/l", false), ("rm d/l; echo f > d/l", false), ("rm d/h; echo one > d/h; chmod 640 d/h", false),
            ("mv d/f d/F", false), ("rm -r d/sub; echo two > d/sub", false), ("chmod 700 .", false),
            ("setfattr -n user.x -v 1 d/f", false), ("mknod d/gone c 0 0", false), ("setfattr -n user.x -v 1 d", false),
        ]
    )
    func layers(change: String, isSame: Bool) throws {
        let kitchen = try TestKitchen()
        let one = try kitchen.layer(Self.tree)
        let other = try kitchen.layer(Self.tree + "\n" + change)
        let snapshots = kitchen.snapshots
        for (a, b) in [(one, other), (other, one), (one, other)] {
            #expect(try snapshots.haveEqualContent(a, b, checkCancellation: {}) == isSame)
        }
    }

    @Test("what equals a third is equal; what is gone equals nothing")
    func twins() throws {
        let kitchen = try TestKitchen()
        let ids = try (0..<4).map { _ in try kitchen.layer(Self.tree) }
        let snapshots = kitchen.snapshots
        #expect(try snapshots.haveEqualContent(ids[0], ids[1], checkCancellation: {}))
        #expect(try snapshots.haveEqualContent(ids[2], ids[3], checkCancellation: {}))
        #expect(try snapshots.haveEqualContent(ids[1], ids[3], checkCancellation: {}))
        // All four are known to be the same now: nothing is read any more.
        struct Read: Error {}
        for a in ids {
            for b in ids { #expect(try snapshots.haveEqualContent(a, b, checkCancellation: { throw Read() })) }
        }
        _ = try snapshots.remove([ids[0]], unusedSince: .max)
        #expect(try !snapshots.haveEqualContent(ids[0], ids[1], checkCancellation: {}))
        #expect(try snapshots.haveEqualContent(ids[1], ids[2], checkCancellation: { throw Read() }))
    }

    @Test("a deep tree is compared without harm, and equals none")
    func deep() throws {
        let kitchen = try TestKitchen()
        let script = "for i in $(seq 400); do mkdir d && cd d; done; echo x > f"
        let (one, other) = (try kitchen.layer(script), try kitchen.layer(script))
        #expect(try !kitchen.snapshots.haveEqualContent(one, other, checkCancellation: {}))
    }

    // MARK: Steps

    private func reuse(
        _ kitchen: TestKitchen,
        _ op: FileOp,
        _ former: [StepValue],
        _ inputs: [StepValue]
    ) async throws -> Reuse {
        let vertex = BuildVertex(op: .file(op), inputs: [], metadata: .init(name: "COPY"))
        return try await BuildStep(vertex, kitchen.environment()).reuse(of: former, for: inputs)
    }

    private func copy(_ source: String = "/d", _ destination: String = "/app/", owner: String? = nil) -> FileOp {
        let copy = FileCopy(
            input: 1,
            source: source,
            destination: destination,
            owner: owner.map { FileOwner($0) },
            destinationIsDirectory: destination.hasSuffix("/")
        )
        return FileOp(actions: [.copy(copy)], hasBase: true)
    }

    @Test(
        "a copy on the same base is told by what it selects",
        arguments: [
            ("touch d/f other", Reuse.unchanged), ("echo 3 > other", .unchanged), ("echo 0ne > d/f", .none),
            ("chmod 600 d/f", .none), ("echo x > d/new", .none), ("rm d/l", .none),
        ]
    )
    func copies(change: String, expected: Reuse) async throws {
        let kitchen = try TestKitchen()
        let base = try kitchen.stage("mkdir app")
        let stages = [try kitchen.stage(Self.tree), try kitchen.stage(Self.tree + "\n" + change)]
        #expect(try await reuse(kitchen, copy(), [base, stages[0]], [base, stages[1]]) == expected)
        let contexts = [try kitchen.context(Self.tree), try kitchen.context(Self.tree + "\n" + change)]
        // The first build that reads a directory notes what it read: later ones have only its name.
        _ = try await FileStep(copy(), kitchen.environment()).contentDigest([base, contexts[0]])
        let noted = try #require(StepValue(payload: contexts[0].inputPayload))
        #expect(try await reuse(kitchen, copy(), [base, noted], [base, contexts[1]]) == expected)
    }

    @Test("a directory of which nothing was noted serves for nothing")
    func forgottenDirectory() async throws {
        let kitchen = try TestKitchen()
        let base = try kitchen.stage("mkdir app")
        let context = try kitchen.context(Self.tree)
        let other = try kitchen.context(Self.tree + "; echo 3 > other")
        let noted = try #require(StepValue(payload: context.inputPayload))
        #expect(try await reuse(kitchen, copy(), [base, noted], [base, other]) == .none)
    }

    private static let base = """
        mkdir -p app etc usr/local/bin; echo 'cook:x:1000:1000::/:' > etc/passwd; echo 'cook:x:1000:' > etc/group
        echo old > app/old; ln -s app link
        """

    @Test(
        "a copy is moved to another base where nothing that it meets differs",
        arguments: [
            ("echo new > usr/local/bin/tool", "/d", "/app/", Reuse.rebased),
            ("touch app app/old .", "/d", "/app/", .unchanged),
            ("rm app/old", "/d", "/app/", .rebased),
            ("mkdir etc/x; chmod 700 etc", "/d", "/app/", .rebased),
            ("echo 'root:x:0:0::/:' >> etc/passwd", "/d", "/app/", .rebased),
            ("rm -r usr", "/d/f", "/app/f", .rebased),
            ("rm -r usr", "/d", "/new/place/", .rebased),
            ("chmod 700 app", "/d", "/app/", .none),
            ("chown 5 app", "/d", "/app/", .none),
            ("chmod 700 .", "/d", "/app/", .none),
            ("setfattr -n user.x -v 1 app", "/d", "/app/", .none),
            ("rm -r app", "/d", "/app/", .none),
            ("rm -r app; ln -s usr app", "/d", "/app/", .none),
            ("mkdir app/sub", "/d", "/app/", .none),
            ("echo x > app/f", "/d", "/app/", .none),
            ("mkdir new", "/d", "/new/place/", .none),
            ("rm link; ln -s usr link", "/d", "/link/", .none),
            ("rm usr -r", "/d", "/link/", .rebased),
            ("rm -r app; mkdir app", "/d/f", "/app", .rebased),
            ("rm -r app", "/d/f", "/app", .none),
        ]
    )
    func rebase(change: String, source: String, destination: String, expected: Reuse) async throws {
        let kitchen = try TestKitchen()
        let bases = [try kitchen.stage(Self.base), try kitchen.stage(Self.base + "\n" + change)]
        let stage = try kitchen.stage(Self.tree)
        let op = copy(source, destination)
        #expect(try await reuse(kitchen, op, [bases[0], stage], [bases[1], stage]) == expected)
        // What is promised holds: the layer made on the new base is the former one, times aside.
        guard expected == .rebased else { return }
        let layers = try await bases.concurrent { base in
            try await FileStep(op, kitchen.environment()).run([base, stage]).layers
        }
        let tops = layers.compactMap(\.last)
        #expect(try kitchen.snapshots.haveEqualContent(tops[0], tops[1], checkCancellation: {}))
    }

    @Test(
        "names of owners count by their numbers in the base",
        arguments: [
            ("echo 'cook:x:1000:1000:other:/:' > etc/passwd", Reuse.rebased),
            ("echo 'cook:x:1001:1000::/:' > etc/passwd", .none),
        ]
    )
    func owners(change: String, expected: Reuse) async throws {
        let kitchen = try TestKitchen()
        let bases = [try kitchen.stage(Self.base), try kitchen.stage(Self.base + "\n" + change)]
        let stage = try kitchen.stage(Self.tree)
        let found = try await reuse(kitchen, copy(owner: "cook"), [bases[0], stage], [bases[1], stage])
        #expect(found == expected)
    }

    @Test("archives, and copies from what they are copied to, are never moved")
    func unbounded() async throws {
        let kitchen = try TestKitchen()
        let bases = [try kitchen.stage(Self.base), try kitchen.stage(Self.base + "\necho new > usr/new")]
        let stage = try kitchen.stage(Self.tree)
        for change in [\FileCopy.unpacksArchives, \FileCopy.allowsWildcards] {
            guard case .copy(var copied) = copy().actions[0] else { return }
            copied[keyPath: change] = true
            if change == \FileCopy.allowsWildcards {
                copied.input = 0
                copied.source = "/app"
            }
            let op = FileOp(actions: [.copy(copied)], hasBase: true)
            #expect(try await reuse(kitchen, op, [bases[0], stage], [bases[1], stage]) == .none)
        }
    }

    // MARK: As text

    @Test(
        "a result is written and read again",
        arguments: [
            "1 2 3", "", "@\(String(repeating: "a", count: 64))/2 1 2 7", "@\(String(repeating: "b", count: 64))/0",
            "@\(String(repeating: "a", count: 64))/? 7",
        ]
    )
    func texts(text: String) throws {
        #expect(try #require(LayerStack(text)).text == text)
        #expect(StepValue(payload: Array(text.utf8)) != nil)
    }

    @Test(
        "damage is seen",
        arguments: ["x", "1 x", "@a/1 1", "@\(String(repeating: "a", count: 64))/3 1 2", "=zz", "@/"]
    )
    func damagedTexts(text: String) { #expect(StepValue(payload: Array(text.utf8)) == nil) }
}

extension Array where Element: Sendable {
    fileprivate func concurrent<R: Sendable>(_ body: (Element) async throws -> R) async rethrows -> [R] {
        var result: [R] = []
        for element in self { result.append(try await body(element)) }
        return result
    }
}
