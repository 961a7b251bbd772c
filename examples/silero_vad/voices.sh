#!/bin/sh
# Speech for the repair, by espeak-ng 1.51 (Debian), into the folder that is given: voices.sh FOLDER
set -e
cd "$1"
n=0
say() {
    n=$((n + 1))
    espeak-ng -v "$1" -s "$2" -p "$3" -w "v$n.wav" "$4"
}
say en-us 150 50 "Good morning. The train to the coast leaves at nine, from the second platform. Please mind the gap."
say en-gb+f2 160 60 "We walked along the river until the rain began. Then everybody ran for the old bridge."
say en-us+m3 140 35 "One, two, three, four, five. Turn left at the lights, and stop behind the green house."
say en-gb+f4 170 70 "Could you repeat the question? I am not sure that I heard the last words."
say en-gb-scotland+m5 150 40 "The kettle is on. There is bread and butter, and a little honey from the hills."
say de+f3 155 55 "Guten Abend. Der Laden ist heute geschlossen. Kommen Sie bitte morgen wieder."
say fr+m2 150 45 "Bonjour. Il fait beau ce matin, et nous irons au marché avec les enfants."
say es+f1 160 60 "Buenas tardes. El tren sale a las cinco. No olvide su equipaje, por favor."
say it+m4 150 45 "Buongiorno a tutti. Oggi parliamo del mare, del vento e delle barche."
say ru+f2 150 55 "Доброе утро. Сегодня мы поедем в город, а вечером вернёмся домой."
say pt+m1 150 40 "Bom dia. A loja abre às nove horas e fecha às seis da tarde."
say nl+f5 150 60 "Goedemorgen. De winkel op de hoek verkoopt verse groenten en fruit."
