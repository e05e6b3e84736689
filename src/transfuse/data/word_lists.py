"""Short lists of words that say little by themselves, and of words that deny.

Three kinds of function words are left out of the stop lists on purpose, since without them a
sentence may say the opposite, or much less: negations (not, no, never, 不, 没), words that turn
(but, however, 但, 却) and words of degree (very, too, 很, 太).
"""

__all__ = ["NEGATIONS", "STOP_WORDS"]

_ENGLISH = """
a an the this that these those
i me my mine myself we us our ours ourselves you your yours yourself yourselves
he him his himself she her hers herself it its itself they them their theirs themselves
who whom whose which what there here
am is are was were be been being have has had having do does did doing done
will would shall should can could may might must
i'm i've i'll i'd you're you've you'll you'd he's he'll he'd she's she'll she'd it's it'll
we're we've we'll we'd they're they've they'll they'd that's there's what's who's
and or if then than as because while when where how why so
of at by for with about into through during before after to from in on upon over under
between among up down out off again once also just
s t ll ve re d m
"""

_CHINESE = """
的 地 得 了 着 过 吗 呢 吧 啊 呀 嘛 哦 啦
我 你 您 他 她 它 我们 你们 他们 她们 它们 咱们 自己 大家
这 那 这个 那个 这些 那些 这里 那里 这样 那样 这么 那么 此 该
什么 谁 哪 哪个 哪里 怎么 怎样 为什么 多少 几
是 有 在 会 能 可以 要 想 让 使 把 被 给 对 向 从 自 到 往 由 于 以 为
为了 按 跟 同 与 和 及 或 或者 以及
并 并且 而 而且 因为 所以 因此 如果 则 就 也 还 又 再 都 才 便 即
一 一个 一些 一种 个 些 种 们 之 其 所 者 等 上 下 里 中 时 时候 后 前
"""

_DENYING = """
no not nor never none nothing nobody nowhere neither without cannot cant wont dont doesnt didnt
isnt arent wasnt werent hasnt havent hadnt shouldnt wouldnt couldnt mustnt neednt aint
hardly barely scarcely seldom rarely lack lacks lacked lacking
不 没 無 无 非 未 别 別 莫 勿 毋 否 沒 弗 没有 不是 从不 从未 并非 毫无 绝不 决不 未必 不要 别再
"""

STOP_WORDS: dict[str, frozenset[str]] = {
    "en": frozenset(_ENGLISH.split()),
    "zh": frozenset(_CHINESE.split()),
}
"""Words that say little by themselves, by language."""

NEGATIONS: frozenset[str] = frozenset(_DENYING.split())
"""Words that turn what is said into its opposite; in no stop list, and never augmented away."""
