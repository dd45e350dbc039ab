extension Refusal {
    /// What stands in a --set.
    static let settings: [Refusal] = [
        Refusal(
            nil, set: [#"model.hiden=[3]"#],
            #"""
            --set: unknown key "hiden" in model; did you mean "hidden"? Known here: hidden, \#
            name, stem, placement, shortcut, dropout, activation, normalization, \#
            initialization, zeroInitialBlocks
                --set model.hiden=[3]
                            ^
            """#),
        Refusal(
            nil, set: [#"model.hidden=[3"#],
            #"""
            --set: expected "," or "]", found the end of the setting
                --set model.hidden=[3
                                     ^
            """#),
        Refusal(
            nil, set: [#"model.hidden"#],
            #"""
            --set: expected key.path=value, found no "="
                --set model.hidden
                                  ^
            """#),
        Refusal(
            nil, set: [#"=3"#],
            #"""
            --set: expected a key, found "="
                --set =3
                      ^
            """#),
        Refusal(
            nil, set: [#"model..hidden=3"#],
            #"""
            --set: expected a key, found "."
                --set model..hidden=3
                            ^
            """#),
        Refusal(
            nil, set: [#"learningRate=0.1"#],
            #"""
            --set: unknown key "learningRate"; did you mean "optimizer.learningRate"? Known \#
            here: evaluate, data, optimizer, freeze, checkpoint, tensorboard, seed, batch, \#
            loss, schedule, epochs, probes, watch, model, steps, collectives
                --set learningRate=0.1
                      ^
            """#),
        Refusal(
            nil, set: [#"optimizer.learningRate=0.0.1"#],
            #"""
            --set: optimizer.learningRate: expected a number above 0, found the string "0.0.1"
                --set optimizer.learningRate=0.0.1
                                             ^
            """#),
        Refusal(
            nil, set: [#"data.name=mnist"#],
            #"""
            --set: data.name: unknown name "mnist"; choose "idx", "cifar10", "cifar100", \#
            "two-features" or "synthetic-digits"
                --set data.name=mnist
                                ^
            """#),
        Refusal(
            nil, set: [#"data.directory="#],
            #"""
            --set: data.directory: expected the path of a folder, in quotes, found the string ""
                --set data.directory=
                                     ^
            """#),
        Refusal(
            nil, set: [#"batch={size: 3, shrads: 2}"#],
            #"""
            --set: unknown key "shrads" in batch; did you mean "shards"? Known here: shards, \#
            size
                --set batch={size: 3, shrads: 2}
                                      ^
            """#),
        Refusal(
            nil, set: [#"model.normalization.scope.grp=2"#],
            #"""
            --set: unknown key "grp" in model.normalization.scope; did you mean "group"? \#
            Known here: group
                --set model.normalization.scope.grp=2
                                                ^
            """#),
        Refusal(
            nil, set: [#"data.scaling.mean=[0.1]"#],
            #"""
            --set: data.scaling: expected { mean: …, std: … }, found an object without std
                --set data.scaling.mean=[0.1]
                                   ^
            """#),
    ]
}
