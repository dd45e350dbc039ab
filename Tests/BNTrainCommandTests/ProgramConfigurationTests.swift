import TestSupport
import Testing

/// A command line, what it is told, and with which code.
private struct Refusal: CustomTestStringConvertible, Sendable {
    let words: [String]
    let code: Int32
    let message: String

    /// The words, and last what they are told.
    init(_ texts: String..., code: Int32 = 64) {
        words = texts.dropLast()
        self.code = code
        message = texts.last ?? ""
    }

    var testDescription: String { words.joined(separator: " ") }
}

private let refusals = [
    // The command line.
    Refusal("trian", "unknown command 'trian': did you mean 'train'?; see `bn-train --help`"),
    Refusal(
        "train", "--treads", "2",
        "unknown option '--treads': did you mean '--threads'?; see `bn-train train --help`"),
    Refusal(
        "--learning-rate", "0.1",
        "unknown option '--learning-rate': it is set with --set optimizer.learningRate=VALUE; see "
            + "`bn-train --help`"),
    Refusal(
        "--threads", "0",
        "--threads takes a whole number from 1 to 250 (for more workers use ranks: mpirun -n), "
            + "found '0'; see `bn-train --help`"),
    Refusal("--config", "--config lacks its value: give --config FILE; see `bn-train --help`"),
    Refusal(
        "run.json5",
        "train takes no file, found 'run.json5': give --config run.json5; see `bn-train --help`"),
    Refusal(
        "eval",
        "eval takes a model file such as runs/NAME-1/final.safetensors, found nothing; see "
            + "`bn-train eval --help`"),
    Refusal(
        "predict", "x.safetensors",
        "predict takes a model file and indices of test samples, found 1; see "
            + "`bn-train predict --help`"),

    // Files of the configuration.
    Refusal(
        "--config", "none.json5",
        "there is no configuration file \"none.json5\": correct --config, or leave it out for the "
            + "embedded default", code: 66),
    Refusal(
        "--config", "unknown.json5",
        """
        unknown.json5:3:12: unknown key "sise" in batch; did you mean "size"? Known here: size, \
        shards
              batch: { sise: 60 },
                       ^
        """),
    Refusal(
        "--config", "type.json5",
        """
        type.json5:1:24: model.hidden[1]: expected a whole number of at least 1, found the string "x"
            { model: { hidden: [8, "x"] } }
                                   ^
        """),
    Refusal(
        "--config", "syntax.json5",
        """
        syntax.json5:2:1: expected "," or "}", found "5"
            5 }
            ^
        """),
    Refusal(
        "--config", "both.json5",
        """
        both.json5:2:10: both steps and epochs are set, and either alone gives the length of a \
        run: remove one
             epochs: 2 }
                     ^
        """),

    // Values.
    Refusal(
        "--set", "batch.size=0",
        """
        --set: batch.size: expected a whole number of at least 1, found 0
            --set batch.size=0
                             ^
        """),
    Refusal(
        "--set", "model.hidden=[16,-3]",
        """
        --set: model.hidden[1]: expected a whole number of at least 1, found -3
            --set model.hidden=[16,-3]
                                   ^
        """),
    Refusal(
        "--set", "steps=10", "--set", "epochs=3",
        """
        --set: both steps and epochs are set, and either alone gives the length of a run: remove \
        one
            --set epochs=3
                         ^
        """),
    Refusal(
        "--set", "batch.shards=61",
        """
        --set: 61 shards are more than the 60 samples of a batch: set batch.shards to at most 60 \
        or to "auto", or batch.size to at least 61
            --set batch.shards=61
                               ^
        """),
    Refusal(
        "--set", "batch.shards=8", "--set", "model.normalization.scope={group:3}",
        """
        --set: groups of 3 shards do not divide the 8 shards of a batch evenly: set \
        model.normalization.scope.group to a divisor of 8, or batch.shards to a multiple of 3
            --set model.normalization.scope={group:3}
                                            ^
        """),
    Refusal(
        "--set", "data.name=idx",
        """
        --set: data.name "idx" needs data.directory: set it to the folder that holds \
        train-images-idx3-ubyte and its siblings
            --set data.name=idx
                            ^
        """),

    // What only shows with the world or the data.
    Refusal(
        "--set", "data.samples=61", "--set", "data.testSamples=10",
        "batch 2 of 2 has only 1 sample, and one value per channel has no variance: set "
            + "data.dropLast to true"),
    Refusal(
        "--set", "data.samples=66", "--set", "data.testSamples=10", "--set", "batch.shards=4",
        "--set", "model.normalization.scope=shard",
        "batch 2 of 2 has 6 samples, and its statistics group 1 of 4 only one: one value per "
            + "channel has no variance; set data.dropLast to true, or batch.shards to at most 3, "
            + "or model.normalization.scope to \"global\""),
]

extension ProgramTests {
    @Suite("What cannot be understood is refused before anything is begun")
    struct Refusals {
        private static let files = [
            "unknown.json5": "{\n  seed: 1,\n  batch: { sise: 60 },\n}\n",
            "type.json5": "{ model: { hidden: [8, \"x\"] } }\n",
            "syntax.json5": "{ seed: 1\n5 }\n",
            "both.json5": "{ steps: 3,\n epochs: 2 }\n",
        ]

        @Test("with the whole message, and its code", arguments: refusals)
        fileprivate func refused(_ refusal: Refusal) throws {
            let place = try Workplace()
            for (name, text) in Self.files { try place.write(text, to: name) }
            try place.run(refusal.words).expect(refusal.code, refusal.message)
            #expect(try place.names(in: ".") == Self.files.keys.sorted())
        }

        @Test("among ranks too, once, and every rank leaves with the code")
        func amongRanks() throws {
            let place = try Workplace()
            try place.run(ranks: 3, ["--set", "batch.size=0"]).expect(
                64,
                """
                --set: batch.size: expected a whole number of at least 1, found 0
                    --set batch.size=0
                                     ^
                """)
            try place.run(ranks: 3, ["--treads", "2"]).expect(
                64, "unknown option '--treads': did you mean '--threads'?; see `bn-train --help`")
            try place.run(ranks: 3, Workplace.short + ["--set", "batch.shards=2"]).expect(
                64,
                "3 ranks are more than the 2 shards of a batch, and each rank needs one: start at "
                    + "most 2 ranks and give them --threads, or set batch.shards to at least 3")
            #expect(try place.names(in: ".").isEmpty)
        }
    }
}
