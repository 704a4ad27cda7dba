package com.example.classifier

import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min

// Pixels of the longer side: at most and at least those on which anything is looked for, and those
// from which on a subject may be small in its picture.
private const val WORK = 128
private const val LEAST = 32
private const val SPARSE = 64

private const val EDGE = 16 // this part of the longer side may show a table beneath the paper
private const val LOW = 40 // per cent of a prepared image's pixels below what becomes 0
private const val HIGH = 98 // and 255
private const val FAINT = 16 // grey levels, at least, that are stretched to 255

/** A picture of 0..255, row after row, such as a camera's luminance plane without its padding. */
class Grey(val width: Int, val height: Int, val data: ByteArray = ByteArray(width * height)) {
    init {
        require(data.isNotEmpty() && data.size == width * height) {
            "got ${data.size} bytes, expected $width x $height"
        }
    }

    val size get() = data.size
    val longer get() = max(width, height)

    operator fun get(at: Int) = data[at].toInt() and 0xFF

    operator fun set(at: Int, value: Int) {
        data[at] = value.toByte()
    }
}

enum class Centre { MASS, BOX }

/**
 * How subjects lie in the training images: [box] pixels of the longer side, and [centre] at twice
 * [middleY] and [middleX] pixels from the top and from the left.
 */
data class Layout(
    val height: Int,
    val width: Int,
    val box: Int,
    val centre: Centre,
    val middleY: Int,
    val middleX: Int,
    val isLight: Boolean // whether ink is lighter than its ground
)

/** What the model takes, and whether the picture's ink is darker than its ground. */
class Prepared(val pixels: ByteArray, val isDark: Boolean)

/**
 * Finds the subject, takes the ground away, and lays it out as training images are, to the same
 * bytes as `run_pipeline.py predict` does; the project's docs/preparation.md says each step.
 *
 * [isDark] says whether the ink is darker than its ground; null finds it out.
 */
fun prepareInk(grey: Grey, layout: Layout, isDark: Boolean? = null): Prepared {
    var picture = reduced(grey)
    val (foundDark, isSparse) = polarity(picture)
    val turn = isDark ?: foundDark
    if (turn != layout.isLight && liesAsTrained(grey, turn, layout)) {
        return Prepared(grey.data.copyOf(), turn)
    }
    val isSmall = isSparse && picture.longer >= SPARSE
    if (isSmall) {
        val far = aboveGround(inkOf(picture, turn), picture.longer / 6)
        clearEdge(far, far.longer / EDGE)
        picture = reduced(closer(grey, subjectOf(far, isFar = true)))
    }
    val raw = inkOf(enlarged(picture), turn)
    val ink = aboveGround(raw, raw.longer * (if (isSmall) 1 else 2) / 3)
    val subject = subjectOf(ink, isFar = false)
    val isCut = subject != null && !isSmall && (subject.left == 0 || subject.right == ink.width)
    val image = when {
        subject == null -> Grey(layout.width, layout.height)
        // Cut out by someone who knew where it is, with parts of its neighbours.
        isCut -> laidOut(ink, whole(ink), layout.copy(box = layout.box * 6 / 5))
        else -> laidOut(ink, subject, layout)
    }
    return Prepared(inkOf(image, !layout.isLight).data, turn)
}

/** Whether ink in a picture of the training images' size has its size and its place already. */
private fun liesAsTrained(grey: Grey, isDark: Boolean, layout: Layout): Boolean {
    if (grey.height != layout.height || grey.width != layout.width) return false
    val large = enlarged(inkOf(grey, isDark))
    val scale = large.height / grey.height
    val subject = subjectOf(aboveGround(large, 2 * large.longer / 3), isFar = false) ?: return false
    val offY = abs(subject.twiceY(layout) - scale * layout.middleY)
    val offX = abs(subject.twiceX(layout) - scale * layout.middleX)
    return max(offY, offX) <= 3 * scale && abs(subject.longer - scale * layout.box) <= 2 * scale
}

/**
 * Whether ink is dark, and whether there is little of it. Ink is what is rare. Where little of it
 * lies on much ground, grey levels about their local mean are skewed to its side; where a subject
 * fills its picture, the ground is what most pixels, and most of the outermost, are.
 */
private fun polarity(image: Grey): Pair<Boolean, Boolean> {
    val (width, height) = image.width to image.height
    val mean = localMean(image, max(3, image.longer / 4 or 1))
    val edge = if (image.longer >= SPARSE) image.longer / EDGE else 0
    var (square, cube) = 0L to 0L
    for (y in edge until height - edge) {
        for (x in edge until width - edge) {
            val about = (image[y * width + x] - mean[y * width + x]).toLong()
            square += about * about
            cube += about * about * about
        }
    }
    val size = max(0, height - 2 * edge) * max(0, width - 2 * edge)
    val (two, three) = square.toDouble() to cube.toDouble()
    if (square > 0 && three * three * size >= two * two * two) return (cube < 0) to true
    val level = otsu(image)
    val light = { at: Int -> if (image[at] > level) 1L else 0L }
    val all = (0 until image.size).sumOf(light)
    val ends = (0 until width).sumOf { light(it) + light((height - 1) * width + it) }
    val sides = (1 until height - 1).sumOf { light(it * width) + light(it * width + width - 1) }
    val ring = 2L * width + 2L * max(0, height - 2)
    return (all * ring + (ends + sides) * image.size > image.size * ring) to false
}

/** A box in pixels, its far ends outside, the ink in it, and the moments of that about 0. */
private class Stroke(var top: Int, var bottom: Int, var left: Int, var right: Int) {
    var mass = 0L
    var momentY = 0L // of twice the pixels
    var momentX = 0L

    val longer get() = max(bottom - top, right - left)

    fun twiceY(layout: Layout) =
        if (layout.centre == Centre.MASS) (momentY / max(1, mass)).toInt() else top + bottom

    fun twiceX(layout: Layout) =
        if (layout.centre == Centre.MASS) (momentX / max(1, mass)).toInt() else left + right

    fun take(y: Int, x: Int, ink: Int) {
        top = min(top, y)
        bottom = max(bottom, y + 1)
        left = min(left, x)
        right = max(right, x + 1)
        mass += ink
        momentY += ink.toLong() * (2 * y + 1)
        momentX += ink.toLong() * (2 * x + 1)
    }

    fun score(ink: Grey): Double {
        val some = max(mass, 1).toDouble()
        val offY = momentY / some / ink.height - 1
        val offX = momentX / some / ink.width - 1
        val touches = top == 0 || left == 0 || bottom == ink.height || right == ink.width
        return mass * (4 - offY * offY - offX * offX) * (if (touches) 1 else 2)
    }

    fun belongsTo(main: Stroke): Boolean {
        val shared = min(right, main.right) - max(left, main.left)
        val gap = max(top - main.bottom, main.top - bottom)
        val isNear = 5 * gap <= main.bottom - main.top
        return isNear && 2 * shared >= right - left && 50 * mass >= main.mass
    }

    fun add(other: Stroke) {
        top = min(top, other.top)
        bottom = max(bottom, other.bottom)
        left = min(left, other.left)
        right = max(right, other.right)
        mass += other.mass
        momentY += other.momentY
        momentX += other.momentX
    }
}

private fun whole(ink: Grey) = Stroke(0, ink.height, 0, ink.width).apply {
    mass = 1
    momentY = ink.height.toLong()
    momentX = ink.width.toLong()
}

/** The heaviest strokes, rather in the middle than at an edge, with those above and below. */
private fun subjectOf(ink: Grey, isFar: Boolean): Stroke? {
    val smooth = if (ink.longer >= 48) localMean(ink, 3) else copy(ink)
    val level = max(otsu(smooth), if (isFar) 2 * ranked(smooth, 100) / 5 else 0)
    val strokes = strokesOf(ink, smooth, level)
    val main = strokes.maxByOrNull { it.score(ink) } ?: return null
    val parts = strokes.filter { it === main || it.belongsTo(main) }
    return parts.drop(1).fold(parts.first()) { all, part -> all.apply { add(part) } }
}

/** What hangs together above a level of [smooth], also at corners; it becomes 0 there. */
private fun strokesOf(ink: Grey, smooth: Grey, level: Int): List<Stroke> {
    val (width, height) = ink.width to ink.height
    val strokes = mutableListOf<Stroke>()
    val open = IntArray(ink.size)
    for (start in 0 until ink.size) {
        if (smooth[start] <= level) continue
        val stroke = Stroke(height, 0, width, 0)
        var count = 0
        smooth[start] = 0
        open[count++] = start
        while (count > 0) {
            val at = open[--count]
            val (y, x) = at / width to at % width
            stroke.take(y, x, ink[at])
            for (row in max(y - 1, 0)..min(y + 1, height - 1)) {
                for (column in max(x - 1, 0)..min(x + 1, width - 1)) {
                    val next = row * width + column
                    if (smooth[next] <= level) continue
                    smooth[next] = 0
                    open[count++] = next
                }
            }
        }
        strokes += stroke
    }
    return strokes
}

private fun clearEdge(image: Grey, edge: Int) {
    val (width, height) = image.width to image.height
    for (at in 0 until image.size) {
        val (y, x) = at / width to at % width
        if (min(min(y, x), min(height - 1 - y, width - 1 - x)) < edge) image[at] = 0
    }
}

/** The part of a picture around what was found in it when it was reduced. */
private fun closer(grey: Grey, subject: Stroke?): Grey {
    if (subject == null) return grey
    val margin = max(4, 3 * subject.longer / 8)
    val (rows, columns) = block(grey)
    val top = max(0, subject.top - margin) * rows
    val left = max(0, subject.left - margin) * columns
    val height = min((subject.bottom + margin) * rows, grey.height) - top
    val width = min((subject.right + margin) * columns, grey.width) - left
    return fill(Grey(width, height), grey, top, left)
}

/** Fills an image from another's pixels from a place on, where that has any. */
private fun fill(image: Grey, from: Grey, top: Int, left: Int): Grey {
    val (start, end) = max(left, 0) to min(left + image.width, from.width)
    for (y in max(top, 0) until min(top + image.height, from.height)) {
        val to = (y - top) * image.width + start - left
        from.data.copyInto(image.data, to, y * from.width + start, y * from.width + end)
    }
    return image
}

/** Scales the subject to its box, its centre to the middle; stretches the contrast. */
private fun laidOut(ink: Grey, subject: Stroke, layout: Layout): Grey {
    val box = layout.box
    val rows = max(1, (2 * subject.longer * layout.height + box) / (2 * box))
    val columns = max(1, (2 * subject.longer * layout.width + box) / (2 * box))
    val top = Math.floorDiv(subject.twiceY(layout) - layout.middleY * rows / layout.height, 2)
    val left = Math.floorDiv(subject.twiceX(layout) - layout.middleX * columns / layout.width, 2)
    val bottom = min(top + rows, ink.height)
    val right = min(left + columns, ink.width)
    val seen = Grey(right - max(left, 0), bottom - max(top, 0))
    fill(seen, ink, max(top, 0), max(left, 0))
    val frame = Grey(columns, rows)
    frame.data.fill(ranked(seen, LOW).toByte())
    val image = averaged(fill(frame, ink, top, left), layout.height, layout.width)
    val low = ranked(image, LOW)
    val range = max(FAINT, ranked(image, HIGH) - low)
    for (at in 0 until image.size) {
        image[at] = ((image[at] - low) * 255 / range).coerceIn(0, 255)
    }
    return image
}

/** The value below which so many per cent of the pixels lie; of 100, the greatest. */
private fun ranked(image: Grey, percent: Int): Int {
    val count = histogram(image)
    val rank = min((image.size.toLong() * percent / 100).toInt(), image.size - 1)
    var level = 0
    var below = count[0]
    while (below <= rank) below += count[++level]
    return level
}

private fun histogram(image: Grey): IntArray {
    val count = IntArray(256)
    for (at in 0 until image.size) count[image[at]]++
    return count
}

private fun copy(image: Grey) = Grey(image.width, image.height, image.data.copyOf())

private fun inkOf(image: Grey, isDark: Boolean): Grey {
    if (!isDark) return image
    return copy(image).also { for (at in 0 until it.size) it[at] = 255 - it[at] }
}

/** What stands out: ink less its opening by the largest square window that fits. */
private fun aboveGround(ink: Grey, window: Int): Grey {
    val (width, height) = ink.width to ink.height
    val (rows, columns) = min(window, height) to min(window, width)
    val ground = copy(ink)
    val tops = (height - rows + 1) * width // from here on no whole window begins
    least(ground, ground.size, rows, width)
    least(ground, tops, columns, 1)
    for (end in width..tops step width) ground.data.fill(0, end - columns + 1, end)
    greatest(ground, tops, columns, 1)
    ground.data.fill(0, tops)
    greatest(ground, ground.size, rows, width)
    for (at in 0 until ink.size) ground[at] = ink[at] - ground[at]
    return ground
}

/** Makes each of the first [count] values the least of the [window] from it on, [stride] apart. */
private fun least(values: Grey, count: Int, window: Int, stride: Int) {
    var done = 1
    while (done < window) {
        val step = min(done, window - done)
        for (at in 0 until count - step * stride) {
            values[at] = min(values[at], values[at + step * stride])
        }
        done += step
    }
}

/** Makes each of the first [count] values the greatest of the [window] up to it, [stride] apart. */
private fun greatest(values: Grey, count: Int, window: Int, stride: Int) {
    var done = 1
    while (done < window) {
        val step = min(done, window - done)
        for (at in count - 1 downTo step * stride) {
            values[at] = max(values[at], values[at - step * stride])
        }
        done += step
    }
}

/** The mean of the square of [size] pixels around each, as far as it lies within; rounded. */
private fun localMean(image: Grey, size: Int): Grey {
    val (width, height) = image.width to image.height
    val stride = width + 1
    val sums = IntArray(stride * (height + 1)) // of all above and to the left
    for (y in 0 until height) {
        var row = 0
        for (x in 0 until width) {
            row += image[y * width + x]
            sums[(y + 1) * stride + x + 1] = sums[y * stride + x + 1] + row
        }
    }
    val mean = Grey(width, height)
    for (y in 0 until height) {
        val top = max(y - size / 2, 0)
        val bottom = min(y + size / 2 + 1, height)
        for (x in 0 until width) {
            val left = max(x - size / 2, 0)
            val right = min(x + size / 2 + 1, width)
            val above = sums[top * stride + right] - sums[top * stride + left]
            val sum = sums[bottom * stride + right] - sums[bottom * stride + left] - above
            mean[y * width + x] = rounded(sum.toLong(), (bottom - top) * (right - left))
        }
    }
    return mean
}

/** The level that parts dark from light pixels best (Otsu 1979): those above it are light. */
private fun otsu(image: Grey): Int {
    val count = histogram(image)
    val total = count.indices.sumOf { count[it].toLong() * it }.toDouble()
    val all = image.size.toDouble()
    var below = 0.0
    var sum = 0.0
    var most = -1.0
    var best = 0
    for (level in 0..255) {
        below += count[level]
        sum += count[level] * level
        val apart = total * below - sum * all
        val parted = apart * apart / max(below * (all - below), 1.0)
        if (parted > most) {
            most = parted
            best = level
        }
    }
    return best
}

/** Means of square blocks, so that the longer side is no longer than WORK; whole blocks only. */
private fun reduced(grey: Grey): Grey {
    val (rows, columns) = block(grey)
    if (rows == 1 && columns == 1) return grey
    val image = Grey(grey.width / columns, grey.height / rows)
    for (y in 0 until image.height) {
        for (x in 0 until image.width) {
            var sum = 0L
            for (row in y * rows until (y + 1) * rows) {
                val start = row * grey.width + x * columns
                for (at in start until start + columns) sum += grey[at]
            }
            image[y * image.width + x] = rounded(sum, rows * columns)
        }
    }
    return image
}

/** How many rows and columns become one. */
private fun block(grey: Grey): Pair<Int, Int> {
    val factor = (grey.longer + WORK - 1) / WORK
    return min(factor, grey.height) to min(factor, grey.width)
}

/** Bilinear by a whole factor, so that the longer side is no shorter than LEAST. */
private fun enlarged(image: Grey): Grey {
    val factor = (LEAST + image.longer - 1) / image.longer
    if (factor == 1) return image
    val large = Grey(image.width * factor, image.height * factor)
    for (y in 0 until large.height) {
        val row = Between(y, image.height, factor)
        for (x in 0 until large.width) {
            val column = Between(x, image.width, factor)
            val sum = row.blend { line -> column.blend { image[line * image.width + it] } }
            large[y * large.width + x] = rounded(sum.toLong(), 4 * factor * factor)
        }
    }
    return large
}

/** Which pixels lie around number [index] of an enlarged side, and how much the second counts. */
private class Between(index: Int, size: Int, private val factor: Int) {
    private val place = 2 * index + 1 - factor
    private val first = Math.floorDiv(place, 2 * factor)
    private val rest = place - 2 * factor * first
    private val before = max(first, 0)
    private val after = min(first + 1, size - 1)

    /** 2 * [factor] times what lies between, given the value of a pixel. */
    fun blend(value: (Int) -> Int) = value(before) * (2 * factor - rest) + value(after) * rest
}

/** Scales by averaging over the area that each pixel comes from; rounded. */
private fun averaged(frame: Grey, height: Int, width: Int): Grey {
    val across = LongArray(frame.height * width)
    for (x in 0 until width) {
        for (from in x * frame.width / width until frame.width) {
            val share = share(from, x, frame.width, width)
            if (share <= 0) break
            for (y in 0 until frame.height) {
                across[y * width + x] += frame[y * frame.width + from].toLong() * share
            }
        }
    }
    val image = Grey(width, height)
    for (y in 0 until height) {
        val sums = LongArray(width)
        for (from in y * frame.height / height until frame.height) {
            val share = share(from, y, frame.height, height)
            if (share <= 0) break
            for (x in 0 until width) sums[x] += across[from * width + x] * share
        }
        for (x in 0 until width) image[y * width + x] = rounded(sums[x], frame.size)
    }
    return image
}

/** How much of pixel [from] of [size] lies in number [index] of [to]; of one, [size] in all. */
private fun share(from: Int, index: Int, size: Int, to: Int) =
    min((from + 1) * to, (index + 1) * size) - max(from * to, index * size)

private fun rounded(sum: Long, count: Int) = ((2 * sum + count) / (2L * count)).toInt()
